"""How long a planned study takes, and how much memory and disk: the work of its jobs at this machine's rates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import EVALUATIONS
from workflow_scripts.engine.plan import Job
from workflow_scripts.features.presets import simclr_settings
from workflow_scripts.generators.presets import settings_for
from workflow_scripts.metrics.dimension import curve_sizes
from workflow_scripts.study.rates import IMAGES, Rates
from workflow_scripts.study.schedule import duration, schedule

# Rules that import no torch and do little.
LIGHT = {
    "collect_distillation", "collect_rebalancing", "collect_replication", "draw_imbalance", "draw_split",
    "draw_subsets", "give_advice", "pack_images", "save_config", "summarise",
}  # fmt: skip
FIGURES = 1.0  # starts, for a rule without torch that fits or draws
SNAKEMAKE = 0.3  # starts, for what Snakemake does around a job
# Processor time came out within 8 % of what this says (docs/running.md); the rest is for what jobs that run at once
# take from each other, and for disks.
OFF_BY = 0.35


@dataclass(frozen=True)
class Estimate:
    """seconds, with low and high; jobs; memory_mb: of the jobs that run at once; disk_mb: of what is written."""

    seconds: float
    low: float
    high: float
    jobs: int
    memory_mb: float
    disk_mb: float

    def __str__(self) -> str:
        return (
            f"about {duration(self.seconds)} ({duration(self.low)} to {duration(self.high)}), {self.jobs} jobs, "
            f"{self.memory_mb / 1000:.1f} GB of memory, {size(self.disk_mb)} of disk"
        )


@dataclass(frozen=True)
class Images:
    """What of the image set matters to the cost: readable images, classes, seconds to decode one."""

    count: int
    classes: int
    seconds_an_image: float


def estimate(jobs: Sequence[Job], config: dict[str, Any], images: Images, rates: Rates, cores: int) -> Estimate:
    """The cost of the jobs that are still to be done, as many at once as the cores and their order allow."""
    todo = [i for i, job in enumerate(jobs) if job.needed]
    seconds = {i: work(jobs[i], config, images, rates) for i in todo}
    total, at_once = schedule(jobs, seconds, cores)
    off = math.hypot(OFF_BY, 2 * rates.error)
    disk = sum(written_mb(jobs[i], config, images) for i in todo)
    memory = at_once * rates.memory_mb
    return Estimate(total, total / (1 + off), total * (1 + off), len(todo), memory, disk)


def work(job: Job, config: dict[str, Any], images: Images, rates: Rates) -> float:
    """Seconds of one job."""
    rule, named = job.rule, job.wildcards
    start = (1 + SNAKEMAKE) * rates.start
    if rule in LIGHT:
        decode = images.count * images.seconds_an_image if rule == "pack_images" else 0.0
        return rates.light + SNAKEMAKE * rates.start + decode
    if rule in ("train_generator", "train_class_generator"):
        name = named["generator"]
        return start + settings_for(**config["generators"][name]).steps * rates.step[name]
    if rule == "draw_samples":
        return start + config["replication"]["samples"] * rates.sample[named["generator"]]
    if rule == "draw_candidates":
        return start + candidates(config, images) * rates.sample[named["generator"]]
    if rule == "train_simclr":
        space = config["spaces"][named["space"]]
        return start + simclr_settings(space["preset"], space["overrides"]).steps * rates.step[named["space"]]
    if rule in ("train_baselines", "train_arm", "train_teacher", "train_student"):
        return start + _classifier_seconds(job, config, rates)
    if rule in ("look_with_teachers", "look_with_students"):
        role = "teacher" if rule == "look_with_teachers" else "student"
        networks = len({output.rsplit("/", 1)[0] for output in job.outputs})
        held_out, rungs = _held_out(config), 3
        shown = (config["distillation"]["training"] or images.count) + (2 + rungs) * held_out
        return start + networks * shown * rates.look[role]
    if rule == "compare_samples":
        return start + 1.5 * rates.compare * len(config["replication"]["spaces"])
    if rule in ("estimate_dimension", "estimate_curve"):
        last = config["complexity"]["neighbours"][1]
        sizes = [int(named["size"])] if "size" in named else curve_sizes(images.count - _held_out(config), last, [])
        return start + sum(rates.dimension * (size / IMAGES) ** rates.dimension_growth for size in sizes)
    if rule in ("measure_similarity", "choose_groups"):
        pairs = min(config["similarity"]["exact_pairs"], images.count * (images.count - 1) // 2)
        return 2 * start + pairs * rates.pair / max(job.threads, 1)
    if rule.startswith(("plot_", "fit_", "find_trends", "estimate_one_shot", "measure_replication", "write_report")):
        return FIGURES * start
    return 1.3 * start


def _classifier_seconds(job: Job, config: dict[str, Any], rates: Rates) -> float:
    role = {"train_teacher": "teacher", "train_student": "student"}.get(job.rule, "arm")
    chosen = config["rebalancing"]["classifier"] if role == "arm" else config["distillation"][role]
    settings = classifier_settings(chosen["preset"], chosen["overrides"])
    seconds = settings.steps * rates.step[role] + EVALUATIONS * _held_out(config) * rates.look[role]
    if role == "student":
        rungs = job.wildcards["student"].split(".")[0]
        taught = 0 if rungs in ("alone", "smoothed") else rungs.count("+") + 1
        seconds += taught * settings.steps * settings.batch * rates.look["teacher"]
    return seconds * sum(output.endswith("weights.safetensors") for output in job.outputs)


def _held_out(config: dict[str, Any]) -> int:
    return max(int(dataset["held_out"]) for dataset in config["datasets"].values())


def candidates(config: dict[str, Any], images: Images) -> int:
    """Images drawn for the classes that lack some, all of them together."""
    imbalance, budget = config["rebalancing"]["imbalance"], config["rebalancing"]["selection"]["budget"]
    if imbalance["profile"] == "counts":
        counts = list(imbalance["counts"].values())
    else:
        last = max(images.classes - 1, 1)
        counts = [imbalance["largest"] * imbalance["ratio"] ** (-i / last) for i in range(images.classes)]
    return round(budget * sum(max(counts) - count for count in counts))


def written_mb(job: Job, config: dict[str, Any], images: Images) -> float:
    """Megabytes of a job's files that stay: images and what goes with each; 0.3 for weights, figures and tables."""
    about = next(iter(config["datasets"].values()))
    pixels = about["resolution"] ** 2 * (1 if about["color"] == "grey" else 3)
    if job.rule == "pack_images":
        return images.count * pixels / 1e6
    if job.rule == "draw_samples":
        return config["replication"]["samples"] * pixels / 1e6
    if job.rule in ("draw_candidates", "select_images"):
        share = 1 if job.rule == "draw_candidates" else 1 / config["rebalancing"]["selection"]["budget"]
        return share * candidates(config, images) * pixels / 1e6
    return 0.3


def size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(megabytes, 1):.0f} MB"
