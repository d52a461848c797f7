"""Peak memory of the stages that see a whole data set, on 100,000 images of 64 px."""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.alone import alone
from benchmarks.bench import Bench
from workflow_scripts.core.files import read_npy, sha256
from workflow_scripts.data.decoding import Shape
from workflow_scripts.data.folders import image_folder
from workflow_scripts.data.packing import pack
from workflow_scripts.replication.search import find_neighbours
from workflow_scripts.similarity.class_similarity import measure_similarity

SIDE, CLASSES, SAMPLES, FILES = 64, 10, 1024, 500

TEXT = """## Memory: {count:,} colour images of 64 px

On the CPU, each stage in a process of its own, which holds Python, PyTorch (the level of the check) and, of the file of
{size:.1f} GiB, what the system keeps mapped for it. There are {files} different images, as JPEG files of 96 px, each
under many names.

| stage | s | largest memory, GiB |
|---|---|---|
{rows}
"""


def packing(folder: Path) -> None:
    pack(image_folder(folder / "files"), Shape(SIDE, 3, "crop"), folder / "images.npy", threads=os.cpu_count() or 1)


def checking(folder: Path) -> None:
    sha256(folder / "images.npy")


def searching(folder: Path) -> None:
    images = read_npy(folder / "images.npy")
    samples = np.random.default_rng(1).integers(0, 256, (SAMPLES, SIDE, SIDE, 3), dtype=np.uint8)
    find_neighbours(samples, np.arange(SAMPLES), images, np.arange(len(images)), 2, torch.device("cpu"))


def comparing(folder: Path) -> None:
    images = read_npy(folder / "images.npy")
    measure_similarity(images, np.arange(len(images)) % CLASSES, [str(i) for i in range(CLASSES)])


STAGES: dict[str, Callable[[Path], None]] = {
    "packing into one file": packing,
    "checking the file against its record": checking,
    f"nearest two of all to {SAMPLES:,} samples": searching,
    "SSIM between and within 10 classes, to a standard error of 0.002": comparing,
}


def measure(bench: Bench) -> str:
    count = bench.size(100_000, 1_000)
    with tempfile.TemporaryDirectory() as place:
        files = Path(place) / "files"
        files.mkdir()
        random = np.random.default_rng(0)
        for i in range(FILES):
            coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            coarse.resize((96, 96), Image.Resampling.BICUBIC).save(files / f"{i:06d}.jpg")
        for i in range(FILES, count):
            os.link(files / f"{i % FILES:06d}.jpg", files / f"{i:06d}.jpg")

        def row(name: str) -> str:
            taken, memory, _ = alone(STAGES[name], Path(place))
            return f"| {name} | {taken:.1f} | {memory:.2f} |"

        rows = bench.rows({name: partial(row, name) for name in STAGES}, 3)
    return TEXT.format(count=count, size=count * SIDE**2 * 3 / 2**30, files=FILES, rows=rows)
