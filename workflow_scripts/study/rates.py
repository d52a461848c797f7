"""How fast this machine does a study's work: a few real steps of each configured network, timed, and starts of a job.

The networks have the study's own settings and image size; what the images show does not matter to the time. On a CPU
the time counted is that of the processor, which is what a job takes on an idle machine, however busy this one is now.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import build_classifier, predict, train_classifier
from workflow_scripts.config.spaces import without_joint
from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.data.resolution import shrink
from workflow_scripts.engine.plan import ROOT
from workflow_scripts.features.encoders import build_encoder, encode
from workflow_scripts.features.presets import simclr_settings
from workflow_scripts.features.simclr import train_encoder
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import ImageShape, from_uint8
from workflow_scripts.generators.presets import settings_for
from workflow_scripts.metrics.dimension import estimate_dimension
from workflow_scripts.metrics.quality import compare
from workflow_scripts.metrics.ssim import prepare, ssim_pairs
from workflow_scripts.training.checkpoints import Checkpoints

T = TypeVar("T")
STEPS = 17  # the first one is left out; regularisation every 16 steps falls once among the others
LONGEST_S = 6.0  # for the steps of one network
IMAGES = 256  # of the searches and of whatever looks at images without training


@dataclass
class Rates:
    """Seconds for one unit of each kind of work, by name, and the relative standard error of those that were repeated.

    start: of a job that imports torch; light: of one that does not. step: of a training; sample: for one image.
    look: for a classifier to look at one image; encode: for a space's network. compare: one comparison of samples with
    held-out images. pair: one SSIM. dimension: an intrinsic dimension of IMAGES images, which grows as this power of
    their number.
    memory_mb: the most that this process took.
    """

    start: float
    light: float
    step: dict[str, float] = field(default_factory=dict)
    sample: dict[str, float] = field(default_factory=dict)
    look: dict[str, float] = field(default_factory=dict)
    encode: dict[str, float] = field(default_factory=dict)
    compare: float = 0.0
    pair: float = 0.0
    dimension: float = 0.0
    dimension_growth: float = 1.0
    errors: list[float] = field(default_factory=list)
    memory_mb: float = 0.0

    @property
    def error(self) -> float:
        """The largest relative standard error."""
        return max(self.errors, default=0.0)


def measure_rates(config: dict[str, Any], dataset: str, classes: int) -> Rates:
    """Rates for a validated config whose studies use one data set of so many classes, with a job's one thread."""
    [device] = prepare_torch(1)
    rates = Rates(_seconds_of_start("torch, pandas, pyarrow.parquet"), _seconds_of_start("pandas, scipy.stats"))
    settings_of_set = config["datasets"][dataset]
    side = settings_of_set["resolution"]
    shape = (IMAGES, side, side, 1 if settings_of_set["color"] == "grey" else 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images = torch.from_numpy(pixels).to(device)
    labels = torch.arange(IMAGES, device=device) % max(classes, 1)
    for name in dict.fromkeys(config["replication"]["generators"] + config["rebalancing"]["generators"]):
        settings = settings_for(**config["generators"][name])
        known = ImageShape(shape[1], shape[3], classes if settings.conditional else 0)
        model = build_model(settings, known, device)
        chosen = torch.arange(settings.batch, device=device) % IMAGES
        batches = [(from_uint8(images[chosen]), labels[chosen])] * model.batches_per_step
        rates.step[name] = _repeat(lambda: model.step(batches), rates, device)  # noqa: B023 - called at once
        count = 4 * settings.batch
        wanted = torch.arange(count, device=device) % classes if known.classes else None
        rates.sample[name] = _once(lambda: model.sample(count, wanted, 0), device) / count  # noqa: B023
    with tempfile.TemporaryDirectory() as folder:
        no_checkpoints = Checkpoints(Path(folder), every_s=1e9)
        encoder: torch.nn.Module
        for name in without_joint(config["replication"]["spaces"], config["spaces"]):
            space = config["spaces"][name]
            if space["kind"] == "pixel":
                continue
            if space["kind"] == "simclr":
                few_steps = replace(simclr_settings(space["preset"], space["overrides"]), steps=STEPS)
                rates.step[name], (encoder, _) = _of_loop(
                    lambda done: train_encoder(images, few_steps, 0, no_checkpoints, done), rates, device  # noqa: B023
                )  # fmt: skip
                no_checkpoints.remove()
            else:
                encoder = build_encoder(space, device)
                encode(encoder, pixels[:8], device)
            rates.encode[name] = _once(lambda: encode(encoder, pixels, device), device) / IMAGES  # noqa: B023
        for name, entry in classifiers_of(config).items():
            classifier = replace(classifier_settings(entry["preset"], entry["overrides"]), steps=STEPS)
            network = build_classifier(classifier, images, classes, 0, device)
            rates.step[name], _ = _of_loop(
                lambda done: train_classifier(network, images, labels, 0, no_checkpoints, on_step=done), rates, device  # noqa: B023
            )  # fmt: skip
            no_checkpoints.remove()
            rates.look[name] = _once(lambda: predict(network, images), device) / IMAGES  # noqa: B023
    if config["replication"]["datasets"]:
        held_out = pixels[np.arange(min(config["datasets"][dataset]["held_out"], 1024)) % IMAGES]
        samples = np.random.default_rng(1).integers(
            0, 256, (min(config["replication"]["samples"], 1024), *shape[1:]), np.uint8
        )
        rates.compare = _once(lambda: compare(held_out, samples, device), device) if len(held_out) > 8 else 0.0
        first, last = config["complexity"]["neighbours"]
        more = np.random.default_rng(2).integers(0, 256, (4 * IMAGES, *shape[1:]), dtype=np.uint8)
        small = shrink(more, config["complexity"]["resolution"])
        rounds = config["complexity"]["resamples"]
        _once(lambda: estimate_dimension(small[:64], first, last, rounds, 0, device), device)
        few, many = (
            _once(lambda: estimate_dimension(small[:count], first, last, rounds, 0, device), device)  # noqa: B023
            for count in (IMAGES, 4 * IMAGES)
        )
        rates.dimension, rates.dimension_growth = few, min(max(float(np.log(many / few) / np.log(4)), 1.0), 2.0)
    if config["similarity"]["datasets"]:
        small = shrink(pixels, config["similarity"]["resolution"])
        prepared = prepare(small, config["similarity"]["channels"], device)
        pairs = torch.from_numpy(np.stack(np.triu_indices(IMAGES, 1))).to(device)
        ssim_pairs(prepared, *pairs[:, :64])  # compiles
        rates.pair = _once(lambda: ssim_pairs(prepared, *pairs), device) / pairs.shape[1]
    rates.memory_mb = _memory_mb()
    return rates


def classifiers_of(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The classifiers of a config, by the names under which their rates stand."""
    classifiers = {}
    if config["rebalancing"]["datasets"]:
        classifiers["arm"] = config["rebalancing"]["classifier"]
    if config["distillation"]["datasets"]:
        classifiers |= {role: config["distillation"][role] for role in ("teacher", "student")}
    return classifiers


def _seconds_of_start(libraries: str) -> float:
    """Of a new process that imports what jobs import; this one has, so the files are in memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import workflow_scripts.core.job, {libraries}"], check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _once(work: Callable[[], object], device: torch.device) -> float:
    begun = _now(device)
    work()
    return _now(device) - begun


def _repeat(step: Callable[[], object], rates: Rates, device: torch.device) -> float:
    """Mean seconds of a step; its relative standard error goes to the rates."""
    _once(step, device)
    seconds: list[float] = []
    while len(seconds) < STEPS - 1 and sum(seconds) < LONGEST_S:
        seconds.append(_once(step, device))
    return _mean(seconds, rates)


def _of_loop(loop: Callable[[Callable[[int], None]], T], rates: Rates, device: torch.device) -> tuple[float, T]:
    """As `_repeat`, of a training loop that calls back after each step; and what the loop gives."""
    ends: list[float] = []

    def done(_: int) -> None:
        ends.append(_now(device))

    trained = loop(done)
    return _mean(np.diff(ends).tolist(), rates), trained


def _mean(seconds: list[float], rates: Rates) -> float:
    mean = float(np.mean(seconds))
    if len(seconds) > 1:
        rates.errors.append(float(np.std(seconds, ddof=1) / mean / len(seconds) ** 0.5))
    return mean


def _memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if os.uname().sysname == "Linux" else peak / 2**20
