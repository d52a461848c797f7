"""How the time and memory of each search and measure grow with the number of images, and training with its size."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.alone import alone
from benchmarks.bench import Bench
from benchmarks.training import our_generator
from workflow_scripts.core.figures import GENERATORS
from workflow_scripts.data.decoding import Shape
from workflow_scripts.data.folders import image_folder
from workflow_scripts.data.packing import pack
from workflow_scripts.generators.presets import settings_for
from workflow_scripts.metrics.dimension import estimate_dimension
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.metrics.quality import frechet_distance
from workflow_scripts.similarity.class_similarity import measure_similarity

FIGURE = Path(__file__).parent.parent / "docs" / "images" / "growth.png"
LARGEST_DIMENSION = 30_000  # images: at 100,000 it would take as long as all the rest
SIDES, BATCHES, STEPS, SKIPPED = (16, 32, 64), (8, 32, 128), 5, 2

TEXT = """## How cost grows

Each work on N random images of 32 px, grey, on the CPU, in a process of its own; seconds of the work alone, and the
most memory that the process held, Python and the libraries (the level at 100 images) and the data included. The
exponent is that of seconds against N from 1,000 images on. The dimension takes the largest set at {dimension:,} images:
its search compares all with all. The similarity takes all pairs of up to 1,000 images, and of more a sample that is as
large as its error wants. Training: the median step of the preset `tiny`, unconditional, colour images.

![Seconds, memory and training steps against size](images/growth.png)

| work | {counts} | exponent | largest memory, GiB |
|---|{dashes}---|---|
{rows}

| training, ms a step | {cases} |
|---|{case_dashes}
{steps}
"""


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 1), dtype=np.uint8)


def packing(count: int) -> float:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        for i, image in enumerate(random_images(100)):
            Image.fromarray(image[..., 0]).resize((96, 96)).save(folder / f"{i:06d}.jpg")
        for i in range(100, count):
            os.link(folder / f"{i % 100:06d}.jpg", folder / f"{i:06d}.jpg")
        source, began = image_folder(folder), time.perf_counter()
        pack(source, Shape(32, 1, "crop"), Path(place) / "images.npy", threads=torch.get_num_threads())
        return time.perf_counter() - began


def searching(count: int) -> float:
    images, samples = random_images(count), random_images(1024)[::-1].copy()
    nearest_neighbours(samples[:64], images[:64], 2)
    began = time.perf_counter()
    nearest_neighbours(samples, images, 2)
    return time.perf_counter() - began


def dimension(count: int) -> float:
    images, began = random_images(count), time.perf_counter()
    estimate_dimension(images, 10, 20, 20, 0)
    return time.perf_counter() - began


def similarity(count: int) -> float:
    images, labels = random_images(count), np.arange(count) % 10
    measure_similarity(images[:100], labels[:100], list("0123456789"))
    began = time.perf_counter()
    measure_similarity(images, labels, list("0123456789"))
    return time.perf_counter() - began


def frechet(count: int) -> float:
    random = np.random.default_rng(0)
    first, second = (random.normal(i / 10, 1, (count, 512)).astype(np.float32) for i in range(2))
    began = time.perf_counter()
    frechet_distance(first, second)
    return time.perf_counter() - began


WORKS: dict[str, Callable[[int], float]] = {
    "packing JPEG files": packing,
    "neighbours of 1,024 samples": searching,
    "intrinsic dimension, 20 resamples": dimension,
    "similarity of 10 classes": similarity,
    "Fréchet distance, 512 features": frechet,
}


def step_seconds(family: str, device: torch.device, side: int, batch: int) -> float:
    # Discriminators may be updated several times a step: what counts is what the study waits for.
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (256, side, side, 3), dtype=np.uint8)).to(device)
    settings = settings_for(family, "tiny", {"batch": batch, "conditional": False})
    labels = torch.zeros(256, dtype=torch.int64, device=device)
    return statistics.median(our_generator(settings, images, labels, STEPS + SKIPPED)[SKIPPED:])


def measure(bench: Bench) -> str:
    counts = bench.size((100, 1_000, 10_000, 100_000), (100, 300, 1_000))
    cases = [(side, 32) for side in SIDES] + [(32, batch) for batch in BATCHES if batch != 32]
    measured: dict[str, list[tuple[int, float, float]]] = {}  # count, seconds, GiB
    steps: dict[str, dict[tuple[int, int], float]] = {}

    def work_row(work: str) -> str:
        sizes = [min(count, LARGEST_DIMENSION) if WORKS[work] is dimension else count for count in counts]
        results = [alone(WORKS[work], size) for size in sizes]
        seconds = [taken for _, _, taken in results]
        measured[work] = list(zip(sizes, seconds, [peak for _, peak, _ in results], strict=True))
        exponent = np.polyfit(np.log(sizes[1:]), np.log(seconds[1:]), 1)[0]
        cells = " | ".join(f"{taken:.2g}" for taken in seconds)
        return f"| {work}, s | {cells} | {exponent:.2f} | {results[-1][1]:.1f} |"

    def step_row(family: str) -> str:
        steps[family] = {case: step_seconds(family, bench.device, *case) for case in cases}
        return f"| {family} | " + " | ".join(f"{1000 * taken:.0f}" for taken in steps[family].values()) + " |"

    rows = bench.rows({work: partial(work_row, work) for work in WORKS}, len(counts) + 3)
    step_rows = bench.rows({family: partial(step_row, family) for family in GENERATORS}, len(cases) + 1)
    if not bench.small:
        draw(measured, steps)
    return TEXT.format(
        counts=" | ".join(f"{count:,}" for count in counts), dashes="---|" * len(counts),
        dimension=min(counts[-1], LARGEST_DIMENSION), rows=rows,
        cases=" | ".join(f"{side} px, batch {batch}" for side, batch in cases), case_dashes="---|" * len(cases),
        steps=step_rows,
    )  # fmt: skip


def draw(points: dict[str, list[tuple[int, float, float]]], steps: dict[str, dict[tuple[int, int], float]]) -> None:
    """What was measured, as FIGURE; a work that failed is not in it."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    seconds, memory, training = figure.subplots(1, 3)
    for (work, results), marker in zip(points.items(), "osD^v", strict=False):
        sizes, taken, peaks = zip(*results, strict=True)
        seconds.plot(sizes, taken, marker=marker, label=work)
        memory.plot(sizes, peaks, marker=marker)
    for family, row in steps.items():
        style = GENERATORS[family]
        training.plot(
            SIDES, [1000 * row[side, 32] for side in SIDES], color=style.colour, marker=style.marker, label=family
        )
    for axis in (seconds, memory):
        axis.set_xscale("log")
        axis.set_xlabel("images")
    seconds.set_yscale("log")
    seconds.set_ylabel("seconds")
    memory.set_ylim(0, None)
    memory.set_ylabel("largest memory, GiB")
    training.set_xticks(SIDES)
    training.set_ylim(0, None)
    training.set_xlabel("resolution, px")
    training.set_ylabel("ms a step of batch 32")
    figure.legend(*seconds.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    training.legend()
    figure.savefig(FIGURE)
