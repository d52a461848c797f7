"""Peak memory of the stages that see a whole data set, on 100,000 images of 64 px."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.alone import alone
from workflow_scripts.data.packing import Shape, pack
from workflow_scripts.data.sources import image_folder
from workflow_scripts.files import read_npy, sha256
from workflow_scripts.replication.search import find_neighbours
from workflow_scripts.similarity.class_similarity import measure_similarity

COUNT, SIDE, CLASSES, SAMPLES, FILES = 100_000, 64, 10, 1024, 500

TEXT = """## Memory: 100,000 colour images of 64 px

Each stage in a process of its own, which holds Python and PyTorch (about 0.4 GiB) and, of the file of {size:.1f} GiB,
what the system keeps mapped for it. There are {files} different images, as JPEG files of 96 px, each under many names.

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
    find_neighbours(samples, np.arange(SAMPLES), images, np.arange(COUNT), 2, torch.device("cpu"))


def comparing(folder: Path) -> None:
    labels = np.arange(COUNT) % CLASSES
    measure_similarity(read_npy(folder / "images.npy"), labels, [str(i) for i in range(CLASSES)])


STAGES: dict[str, Callable[[Path], None]] = {
    "packing into one file": packing,
    "checking the file against its record": checking,
    f"nearest two of all to {SAMPLES:,} samples": searching,
    "SSIM between and within 10 classes, to a standard error of 0.002": comparing,
}


def measure() -> str:
    rows = []
    with tempfile.TemporaryDirectory() as place:
        files = Path(place) / "files"
        files.mkdir()
        random = np.random.default_rng(0)
        for i in range(FILES):
            coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            coarse.resize((96, 96), Image.Resampling.BICUBIC).save(files / f"{i:06d}.jpg")
        for i in range(FILES, COUNT):
            os.link(files / f"{i % FILES:06d}.jpg", files / f"{i:06d}.jpg")
        for name, work in STAGES.items():
            taken, memory, _ = alone(work, Path(place))
            rows.append(f"| {name} | {taken:.1f} | {memory:.2f} |")
        size = (Path(place) / "images.npy").stat().st_size / 2**30
    return TEXT.format(size=size, files=FILES, rows="\n".join(rows))
