"""How the time and memory of one neighbour search grow with the training set, and what shards change."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.alone import alone
from benchmarks.bench import Bench
from workflow_scripts.core.files import read_npy
from workflow_scripts.data.subsets import shard_of
from workflow_scripts.replication.search import find_neighbours, merge

SAMPLES, SIDE, SHARDS = 1024, 28, 10

TEXT = """## Neighbour search: how it grows, and what shards change

The nearest two of N random images ({side} px, grey) to {samples} samples, read from a file on disk, exactly, on
{threads} threads of the CPU; each row in a process of its own.

{table}
"""
TABLE = """Time grows as N to the power {exponent:.2f} (fitted over the rows without shards). Merging {shards} shards
took {merged:.2f} s and gave the same rows to the bit.

| N | shards | s for each job | pairs a second | largest memory of a job, GiB |
|---|---|---|---|---|
{rows}"""


def search(path: Path, first: int, last: int) -> tuple[float, pd.DataFrame]:
    """Search images[first:last] and tell the seconds and the rows found."""
    images = read_npy(path)
    samples = np.random.default_rng(1).integers(0, 256, (SAMPLES, SIDE, SIDE, 1), dtype=np.uint8)
    find_neighbours(samples[:32], np.arange(32), images[:64], np.arange(64), 2, torch.device("cpu"))  # start everything
    began = time.perf_counter()
    members = np.arange(first, last)
    rows = find_neighbours(samples, np.arange(SAMPLES), images[members], members, 2, torch.device("cpu")).assign(
        kind="sample"
    )
    return time.perf_counter() - began, rows


def table(sizes: tuple[int, ...]) -> str:
    rows, times = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        images = np.lib.format.open_memmap(path, "w+", np.uint8, (sizes[-1], SIDE, SIDE, 1))
        random = np.random.default_rng(0)
        for part in np.array_split(images, max(1, sizes[-1] // 10_000)):
            part[:] = random.integers(0, 256, part.shape, dtype=np.uint8)
        images.flush()
        for size in sizes:
            _, memory, (taken, whole) = alone(search, path, 0, size)
            times.append(taken)
            rows.append(f"| {size:,} | 1 | {taken:.2f} | {SAMPLES * size / taken:.2e} | {memory:.2f} |")
        parts = [shard_of(sizes[-1], i, SHARDS) for i in range(SHARDS)]
        searches = [alone(search, path, part.start, part.stop) for part in parts]
        began = time.perf_counter()
        merged = merge([part for _, _, (_, part) in searches], 2)
        merging = time.perf_counter() - began
    pd.testing.assert_frame_equal(merged, merge([whole], 2), check_exact=True)
    taken, memory = float(np.mean([taken for _, _, (taken, _) in searches])), max(peak for _, peak, _ in searches)
    rate = SAMPLES * sizes[-1] / SHARDS / taken
    rows.append(f"| {sizes[-1]:,} | {SHARDS} | {taken:.2f} | {rate:.2e} | {memory:.2f} |")
    exponent = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
    return TABLE.format(exponent=exponent, shards=SHARDS, merged=merging, rows="\n".join(rows))


def measure(bench: Bench) -> str:
    sizes = bench.size((10_000, 100_000, 1_000_000), (1_000, 10_000))
    result = bench.attempt("search and shards", lambda: table(sizes))
    return TEXT.format(
        side=SIDE, samples=SAMPLES, threads=torch.get_num_threads(),
        table=result if isinstance(result, str) else result[0],
    )  # fmt: skip
