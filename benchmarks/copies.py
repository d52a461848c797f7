"""Planted copies: how well the audit's distances tell them from new images, beside what a user would take instead.

`python -m benchmarks.copies` measures on one thread, keeps the numbers as docs/copies.json, and writes the section of
docs/performance.md from them.
"""

import argparse
import json
import re
import textwrap
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from skimage.metrics import structural_similarity

from benchmarks.__main__ import machine
from benchmarks.bench import Bench
from benchmarks.measures import require
from workflow_scripts.audit.planting import plant
from workflow_scripts.audit.search import HALVES, MOVED, search
from workflow_scripts.config.spaces import SPACES, Perceptual
from workflow_scripts.data.arrays import read_idx
from workflow_scripts.features.encoders import encode
from workflow_scripts.features.pretrained import perceptual_encoder
from workflow_scripts.metrics.membership import membership
from workflow_scripts.metrics.ssim import prepare, ssim_pairs

GARMENTS = Path(__file__).parents[1] / "resources/fashion-mnist-test/t10k-images-idx3-ubyte.gz"
SIDE = 56  # px: the garments, doubled
CALIBRATED = 0.01
HASHES = ("PHash", "DHash", "AHash", "WHash")

TEXT = """## Planted copies: what each tool finds

{training:,} training images of {side} px (garments in random colours), and as queries {copies} planted copies of each
kind beside {new} new images. Each tool scores a query by its nearest training image. The area under the curve is the
probability that a planted copy scores nearer than a new image; 0.5 is guessing. Ours is the smallest distance over the
audit's spaces, in units of thresholds that {calibrating} further images set. Seconds: of all {queries:,} queries,
images in memory, features and hashes of the training set included; in brackets extrapolated from {pairs:,} pairs at
random, in the same run: a loop's time is in proportion to its pairs.
Measured on {day}, {machine}, one thread, in processor seconds.

| planted copies | {names} |
|---|{rule}
{rows}

{comparison}
"""
ROOT = Path(__file__).parents[1]
PAGE, NUMBERS = ROOT / "docs/performance.md", ROOT / "docs/copies.json"
SECTION = re.compile(r"## Planted copies: .*?(?=^## )", re.DOTALL | re.MULTILINE)
OURS, LOOP = "ours", "SSIM in a loop"
FULL_SIZE = 10_000 * 50_000  # pairs
EQUAL = 5e-4  # areas that differ by less are equal in the table

Scores = tuple[float, np.ndarray]  # seconds, and of each query the score, lower for copies


def garments(count: int) -> np.ndarray:
    """Garments of two random colours, uint8 (count, SIDE, SIDE, 3)."""
    random = np.random.default_rng(0)
    grey = read_idx(GARMENTS, 3)[random.permutation(10_000)[:count]].astype(np.float32) / 255
    cloth, ground = random.uniform(0.3, 1.0, (count, 1, 1, 3)), random.uniform(0.0, 0.3, (count, 1, 1, 3))
    coloured = 255 * (ground + grey[..., None] * (cloth - ground))
    return coloured.round().astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)


def audit(bench: Bench, training: np.ndarray, calibrating: np.ndarray, queries: np.ndarray) -> dict[str, Scores]:
    """The audit's search, and faiss on the features that it takes."""
    space = SPACES["perceptual"]
    assert isinstance(space, Perceptual)
    encoder = perceptual_encoder(space.weights, space.resolution, bench.device)
    encode(encoder, training[:4], bench.device)
    everything = np.concatenate([training, calibrating, queries])
    encoding, features = bench.timed(lambda: encode(encoder, everything, bench.device))
    n, held_out = len(training), len(training) + len(calibrating)

    def searched(first: int, last: int) -> dict[str, np.ndarray]:
        vectors = {"pixel": everything, "perceptual": features}
        rows = search(
            {space: values[:n] for space, values in vectors.items()},
            {space: values[first:last] for space, values in vectors.items()},
            (training, everything[first:last]),
            np.arange(n),
            np.arange(0),
            np.arange(last - first),
            bench.device,
        )
        rows = rows[rows["kind"] == "query"].sort_values("query")
        return {str(space): part["distance"].to_numpy() for space, part in rows.groupby("space")}

    taken, (control, nearest) = bench.timed(lambda: (searched(n, held_out), searched(held_out, len(everything))))
    spaces = ("pixel", "perceptual", MOVED, HALVES)
    score = np.min([nearest[space] / np.quantile(control[space], CALIBRATED) for space in spaces], axis=0)

    def flat(values: np.ndarray) -> np.ndarray:
        index = faiss.IndexFlatL2(values[0].size)
        index.add(values[:n].reshape(n, -1).astype(np.float32))
        return index.search(values[held_out:].reshape(len(queries), -1).astype(np.float32), 1)[0][:, 0]

    by_features, by_pixels = bench.timed(lambda: flat(features)), bench.timed(lambda: flat(everything))
    shared = encoding * (n + len(queries)) / len(everything)
    return {
        OURS: (encoding + taken, score),
        "faiss, features": (shared + by_features[0], by_features[1]),
        "faiss, pixels": by_pixels,
    }


def ssim(bench: Bench, training: np.ndarray, queries: np.ndarray, pairs: int) -> Scores:
    """SSIM of every pair in grey, by ours; the time is that of scikit-image in a loop, which gives the same.

    The loop is timed on so many pairs at random: its time is in proportion to their number.
    """
    n, m = len(training), len(queries)
    grey = (np.concatenate([training, queries]) @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    first = torch.arange(m, device=bench.device).repeat_interleave(n) + n
    second = torch.arange(n, device=bench.device).repeat(m)
    indices = ssim_pairs(prepare(grey[..., None], device=bench.device), first, second).view(m, n).cpu().numpy()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}

    random = np.random.default_rng(0)
    rows, columns = random.integers(0, m, pairs), random.integers(0, n, pairs)

    def loop() -> list[float]:
        return [
            structural_similarity(grey[n + row], grey[column], **options)
            for row, column in zip(rows, columns, strict=True)
        ]

    taken, one_by_one = bench.timed(loop)
    require(np.abs(np.array(one_by_one) - indices[rows, columns]).max() < 1e-4, "our SSIM and scikit-image's")
    return taken * n * m / pairs, 1 - indices.max(axis=1)


def hashes(bench: Bench, training: np.ndarray, queries: np.ndarray) -> dict[str, Scores]:
    """imagededup's hashes of every image, and the smallest Hamming distance."""
    from imagededup import methods  # a peer of its own: without it the other columns stand

    scores = {}
    for name in HASHES:
        hasher = getattr(methods, name)(verbose=False)

        def bits(images: np.ndarray, hasher: object = hasher) -> np.ndarray:
            codes = [bytes.fromhex(hasher.encode_image(image_array=image)) for image in images]  # type: ignore[attr-defined]
            return np.unpackbits(np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(len(images), -1), axis=1)

        def nearest() -> np.ndarray:
            known, asked = bits(training), bits(queries)
            parts = np.array_split(asked, 20)  # of all at once the differences would fill the memory
            return np.concatenate([(part[:, None] != known).sum(axis=2).min(axis=1) for part in parts]).astype(float)

        scores[name] = bench.timed(nearest)
    return scores


def network(bench: Bench, training: np.ndarray, queries: np.ndarray) -> Scores:
    """imagededup's CNN, whose weights it fetches unless they are in torch's cache."""
    from imagededup.methods import CNN

    encoder = CNN(verbose=False)

    def nearest() -> np.ndarray:
        known, asked = (
            np.concatenate([encoder.encode_image(image_array=image) for image in images])
            for images in (training, queries)
        )
        known, asked = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (known, asked))
        return 1 - (asked @ known.T).max(axis=1)

    return bench.timed(nearest)


def areas(bench: Bench) -> dict[str, Any]:
    """The areas of each tool by change, its seconds, and how much was measured; JSON holds it."""
    n, calibrating, new, copies, pairs = bench.size((8000, 500, 1000, 30, 2000), (40, 100, 30, 8, 20))
    images = garments(n + calibrating + new)
    training, held_out, fresh = np.split(images, [n, n + calibrating])
    planted = plant(training[:copies], np.arange(copies), 0)
    queries = np.concatenate([planted.images, fresh])
    tools: dict[str, Callable[[], Mapping[str, Scores]]] = {
        "the audit and faiss": lambda: audit(bench, training, held_out, queries),
        "SSIM": lambda: {LOOP: ssim(bench, training, queries, pairs)},
        "imagededup's hashes": lambda: hashes(bench, training, queries),
        "imagededup's CNN": lambda: {"imagededup CNN": network(bench, training, queries)},
    }
    scores: dict[str, Scores] = {}
    failed = []
    for name, work in tools.items():

        def run(work: Callable[[], Mapping[str, Scores]] = work) -> list[str]:
            scores.update(work())
            return []

        if isinstance(why := bench.attempt(name, run), str):
            failed.append(f"{name}: {why}.")
    by_change = {
        str(change): {
            tool: membership(score[: len(planted.images)][planted.change == change], score[len(planted.images) :]).auc
            for tool, (_, score) in scores.items()
        }
        for change in dict.fromkeys(planted.change)
    }
    counts = {"training": n, "calibrating": calibrating, "new": new, "copies": copies, "pairs": pairs}
    seconds = {name: taken for name, (taken, _) in scores.items()}
    facts = {"queries": len(queries), "side": SIDE, "day": date.today().isoformat(), "machine": machine()}
    return {**counts, **facts, "areas": by_change, "seconds": seconds, "failed": failed}


def render(numbers: Mapping[str, Any]) -> str:
    """The section of the page."""
    seconds = {name: f"({value:.0f})" if name == LOOP else f"{value:.1f}" for name, value in numbers["seconds"].items()}
    lines = {
        change: ["–" if area is None else f"{area:.3f}" for area in by_tool.values()]
        for change, by_tool in numbers["areas"].items()
    } | {"seconds": [*seconds.values()]}
    rows = "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in lines.items())
    text = TEXT.format(
        **numbers, names=" | ".join(seconds), rule="---|" * len(seconds), rows=rows, comparison=_comparison(numbers)
    )
    return text + "".join(f"\n{why}\n" for why in numbers["failed"])


def _comparison(numbers: Mapping[str, Any]) -> str:
    """Where ours is ahead, and where it is not, in words."""
    if OURS not in numbers["seconds"]:
        return ""
    behind = []
    for change, by_tool in numbers["areas"].items():
        known = {tool: area for tool, area in by_tool.items() if area is not None}
        best = max(known, key=lambda tool: known[tool])
        if known[best] > known[OURS] + EQUAL:
            behind.append(f"{change} ({known[OURS]:.3f} against {known[best]:.3f} of {best})")
    ahead = "The audit's area is the highest, or equal to the highest, for " + (
        f"all changes but these: {'; '.join(behind)}." if behind else "every change."
    )
    if LOOP not in numbers["seconds"]:
        return ahead
    loop = numbers["seconds"][LOOP]
    pairs = numbers["queries"] * numbers["training"]
    hours = loop / pairs * FULL_SIZE / 3600
    text = (
        f"{ahead} A loop of SSIM takes {loop / numbers['seconds'][OURS]:.0f} times as long at this size of "
        f"{pairs / 1e6:.1f} million pairs. Our own time grows more slowly than their number, so the ratio grows with "
        f"it: a loop over 10,000 samples and 50,000 training images would take {hours:.0f} hours, by the same "
        "extrapolation, and a whole audit takes minutes (audit.md has the measured time)."
    )
    return textwrap.fill(text, 120)


def measure(bench: Bench) -> str:
    return render(areas(bench))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copies", description=__doc__)
    parser.add_argument("--render", action="store_true", help="write the page from the numbers that are there")
    if not parser.parse_args().render:
        torch.set_num_threads(1)
        bench = Bench(torch.device("cpu"), False, time.monotonic() + 24 * 3600, time.process_time)
        NUMBERS.write_text(json.dumps(areas(bench), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = render(json.loads(NUMBERS.read_text(encoding="utf-8"))) + "\n"
    PAGE.write_text(SECTION.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
