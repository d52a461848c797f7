"""How long a planned study takes, and how much memory and disk: the work of its jobs at this machine's rates.

What a job does is read from the plan: its parameters say what it trains, draws and measures, its resources whether it
imports torch, its files what it leaves. So a rule that does such work is counted without being named here; a few are
named, whose parameters do not tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import EVALUATIONS
from workflow_scripts.core.words import duration
from workflow_scripts.engine.plan import Job
from workflow_scripts.features.presets import simclr_settings
from workflow_scripts.generators.presets import SNAPSHOT_SAMPLES, SNAPSHOTS, settings_for
from workflow_scripts.metrics.dimension import curve_sizes
from workflow_scripts.study.past import expected, taken
from workflow_scripts.study.rates import IMAGES, Rates, classifiers_of
from workflow_scripts.study.schedule import schedule

SNAKEMAKE = 0.3  # starts, for what Snakemake does around a job
FORKED = 0.25  # of a start, what is left of it where a job is a fork (engine/forks.py)
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


def estimate(
    jobs: Sequence[Job], config: dict[str, Any], images: Images, rates: Rates, cores: int, folder: Path
) -> Estimate:
    """The cost of the jobs that are still to be done, as many at once as the cores and their order allow.

    Where jobs of the same kind have finished in `folder`, their time counts, not the rates.
    """
    todo = [i for i, job in enumerate(jobs) if job.needed]
    past = taken(jobs, folder)
    seconds = {i: expected(jobs[i], past) or start(jobs[i], rates) + work(jobs[i], config, images, rates) for i in todo}
    total, at_once = schedule(jobs, seconds, cores)
    off = math.hypot(OFF_BY, 2 * rates.error)
    disk = sum(written_mb(jobs[i], config, images) for i in todo)
    memory = at_once * rates.memory_mb
    return Estimate(total, total / (1 + off), total * (1 + off), len(todo), memory, disk)


def start(job: Job, rates: Rates) -> float:
    """Seconds that a job takes whatever its work is: Python's start with what it imports, and Snakemake around it."""
    if "gpu" in job.resources:  # imports torch
        return ((FORKED if job.threads == 1 else 1) + SNAKEMAKE) * rates.start
    drawing = any(output.endswith((".svg", ".html")) for output in job.output)
    return (rates.start if drawing else rates.light) + SNAKEMAKE * rates.start


def work(job: Job, config: dict[str, Any], images: Images, rates: Rates) -> float:
    """Seconds of a job's own work, by what its parameters say; 0 for what takes less than its start."""
    params, wildcards = job.params, job.wildcards
    held_out = max(int(dataset["held_out"]) for dataset in config["datasets"].values())
    networks = sum(output.endswith("weights.safetensors") for output in job.output)
    if "dataset" in params:  # packs it
        return images.count * images.seconds_an_image
    if "generator" in params:
        name, snapshots = wildcards["generator"], SNAPSHOTS * params.get("snapshot_samples", SNAPSHOT_SAMPLES)
        return settings_for(**params["generator"]).steps * rates.step[name] + snapshots * rates.sample[name]
    if "samples" in params:
        return params["samples"] * rates.sample[wildcards["generator"]]
    if job.rule == "draw_candidates":
        return candidates(config, images) * rates.sample[wildcards["generator"]]
    if networks and "space" in params:
        return (
            simclr_settings(params["space"]["preset"], params["space"]["overrides"]).steps
            * rates.step[wildcards["space"]]
        )
    if wildcards.get("space") in rates.encode and job.output[0].startswith("results/features/"):
        return _encoded(job, config, images) * rates.encode[wildcards["space"]] / job.threads
    if networks and "classifier" in params:
        return networks * _training(_role(params["classifier"], config), params["classifier"], held_out, rates)
    if networks and "teaching" in params:
        student = params["student"]
        settings = classifier_settings(student["preset"], student["overrides"])
        teachers = wildcards["student"].count("+") + 1 if params["teaching"].get("protocol") == "fresh" else 0
        teaching = teachers * settings.steps * settings.batch * rates.look["teacher"]
        return _training("student", student, held_out, rates) + teaching
    if "views" in params:  # that a teacher looks at, to be stored
        return params["views"] * (config["distillation"]["training"] or images.count) * rates.look["teacher"]
    if "attention" in params:
        role = "teacher" if job.rule == "look_with_teachers" else "student"
        networks = len({output.rsplit("/", 1)[0] for output in job.output})
        shown = (config["distillation"]["training"] or images.count) + (2 + len(params["rungs"])) * held_out
        return networks * shown * rates.look[role]
    measured = params.get("settings") or {}
    if "neighbours" in measured:  # intrinsic dimension
        sizes = (
            [int(wildcards["size"])]
            if "size" in wildcards
            else curve_sizes(images.count - held_out, measured["neighbours"][1], [])
        )
        return sum(rates.dimension * (size / IMAGES) ** rates.dimension_growth for size in sizes)
    if "exact_pairs" in measured:
        pairs = min(measured["exact_pairs"], images.count * (images.count - 1) // 2)
        return rates.start + pairs * rates.pair / max(job.threads, 1)  # it compiles first
    return 1.5 * rates.compare * len(config["replication"]["spaces"]) if job.rule == "compare_samples" else 0.0


def _encoded(job: Job, config: dict[str, Any], images: Images) -> float:
    """The images that a job of `extract_features` and its kind maps to a space."""
    if job.rule == "extract_snapshot_features":
        return SNAPSHOTS * config["replication"]["snapshot_samples"]
    if job.rule == "extract_sample_features":
        return config["replication"]["samples"]
    shards = config["replication"]["shards"]
    if shards > 1:
        return images.count / shards if "shard" in job.wildcards else 0
    return images.count


def _training(role: str, classifier: dict[str, Any], held_out: int, rates: Rates) -> float:
    """Seconds to train a classifier, and to look at the held-out images meanwhile."""
    steps = classifier_settings(classifier["preset"], classifier["overrides"]).steps
    return steps * rates.step[role] + EVALUATIONS * held_out * rates.look[role]


def _role(classifier: dict[str, Any], config: dict[str, Any]) -> str:
    """The name under which the rates of a classifier stand."""
    return next(role for role, settings in classifiers_of(config).items() if settings == classifier)


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
    dataset = next(iter(config["datasets"].values()))
    pixels = dataset["resolution"] ** 2 * (1 if dataset["color"] == "grey" else 3)
    count = 0.0
    if "dataset" in job.params:
        count = images.count
    elif "samples" in job.params:
        count = job.params["samples"]
    elif job.rule == "draw_candidates":
        count = candidates(config, images)
    elif "choice" in job.wildcards:  # as many of them as classes lack
        count = candidates(config, images) / config["rebalancing"]["selection"]["budget"]
    return max(count * pixels / 1e6, 0.3)


def size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(megabytes, 1):.0f} MB"
