"""The searches and measures beside what a user would take instead: neighbours, dimension, SSIM, Fréchet, packing."""

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import skdim
import torch
from PIL import Image
from pytorch_msssim import ssim as msssim
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import DataLoader
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.fid import _compute_fid
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.bench import Bench
from workflow_scripts.data.decoding import Shape
from workflow_scripts.data.folders import image_folder
from workflow_scripts.data.packing import pack
from workflow_scripts.metrics.dimension import estimate_dimension, maximum_likelihood
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.metrics.products import formats
from workflow_scripts.metrics.quality import frechet_distance
from workflow_scripts.metrics.ssim import prepare, ssim_pairs

TEXT = """## Searches and measures compared with peers

Ours and the peer's time in the same process, each once after a small run that loads everything; the ratio is theirs
over ours. Times in brackets are extrapolated from the share of the work that is named. The results agree, as the text
at the end of this page says how closely.

| work | ours, s | share | peer | peer, s | ratio |
|---|---|---|---|---|---|
{rows}
"""


def row(work: str, ours: float, share: str, peer: str, theirs: float, extrapolated: str = "") -> str:
    taken = f"({theirs:.1f}: {extrapolated})" if extrapolated else f"{theirs:.1f}"
    return f"| {work} | {ours:.2f} | {share} | {peer} | {taken} | {theirs / ours:.1f} |"


def require(agree: bool, what: str) -> None:
    if not agree:
        raise AssertionError(f"{what} do not agree")


def neighbours(bench: Bench, kind: str) -> list[str]:
    random = np.random.default_rng(0)
    m, n, d = bench.size((10_000, 50_000, 3072), (200, 1_000, 3072))
    references: np.ndarray
    queries: np.ndarray
    if kind == "bytes":
        references, queries = (random.integers(0, 256, (count, d), dtype=np.uint8) for count in (n, m))
    else:
        references, queries = (random.standard_normal((count, d), dtype=np.float32) for count in (n, m))
    wide = references.astype(np.float32), queries.astype(np.float32)
    nearest_neighbours(queries[:64], references[:256], 2, device=bench.device)
    ours, neighbours = bench.timed(lambda: nearest_neighbours(queries, references, 2, device=bench.device))
    share = bench.ceiling.share(ours, 2 * m * n * d, str(formats(queries, 2, bench.device)[0]).removeprefix("torch."))
    index = faiss.IndexFlatL2(d)
    index.add(wide[0])
    index.search(wide[1][:64], 2)
    theirs, (_, places) = bench.timed(lambda: index.search(wide[1], 2))
    require((neighbours.indices == places).mean() > 0.999, "our neighbours and faiss's")  # float32 may swap two of them
    what = f"neighbours, {m:,} in {n:,}, {d:,} {kind}"
    rows = [row(what, ours, share, "faiss IndexFlatL2", theirs)]
    if kind == "floats":
        brute = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(references)
        rows.append(row(what, ours, share, "scikit-learn, brute", bench.seconds(lambda: brute.kneighbors(queries))))
    return rows


def dimension(bench: Bench) -> list[str]:
    count, resamples = bench.size((10_000, 100), (500, 10))
    images = np.random.default_rng(0).normal(size=(count, 16)) @ np.random.default_rng(1).normal(size=(16, 3072))
    images = images.astype(np.float32)
    nearest_neighbours(images[:300], images[:300], 100, device=bench.device)
    ours = bench.seconds(lambda: estimate_dimension(images, 10, 20, resamples, 0, bench.device))
    distinct = images[: int(count * (1 - np.exp(-1)))]  # as many as a resample holds
    once, peer = bench.timed(lambda: skdim.id.MLE(K=20).fit(distinct).dimension_)
    near = nearest_neighbours(distinct, distinct, 20, device=bench.device, exclude_self=True).distances
    require(abs(float(maximum_likelihood(near, 20, 20, "inverse")[0]) / peer - 1) < 0.06, "the dimensions")
    return [
        row(
            f"intrinsic dimension, {count:,} x 3,072, k = 10..20, {resamples} resamples", ours,
            bench.ceiling.share(ours, 2 * count**2 * 3072, "float32"),
            "scikit-dimension in each resample, for each k", 11 * resamples * once, f"one of {11 * resamples:,}",
        )
    ]  # fmt: skip


def ssim(bench: Bench) -> list[str]:
    count, few, many = bench.size((1_000, 200, 2_000), (60, 20, 200))
    side = 64
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    first, second = (
        torch.tensor(numbers, device=bench.device) for numbers in zip(*combinations(range(count), 2), strict=True)
    )
    ssim_pairs(prepare(images[:20], device=bench.device), first[:10], second[:10])
    ours, ssim = bench.timed(lambda: ssim_pairs(prepare(images, device=bench.device), first, second))
    # For each pair a product, two passes of the window by differences (5 sums, 10 differences, 5 products, 6 sums), and
    # 16 operations for the index.
    inside = side - 10
    operations = len(first) * (side**2 + 26 * side * inside + (26 + 16) * inside**2)
    share = bench.ceiling.share(ours, operations, "float32")
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}

    def loop() -> list[float]:
        pairs = zip(first[:few].tolist(), second[:few].tolist(), strict=True)
        return [structural_similarity(images[i, :, :, 0], images[j, :, :, 0], **options) for i, j in pairs]

    floats = torch.from_numpy(images).to(bench.device).permute(0, 3, 1, 2).float()
    left, right = floats[first[:many]], floats[second[:many]]
    batched = {
        "pytorch-msssim, batched": lambda: msssim(left, right, data_range=255, size_average=False),
        "torchmetrics, batched": lambda: structural_similarity_index_measure(
            left, right, data_range=255.0, reduction="none"
        ),
    }
    what = f"SSIM, all {len(first):,} pairs of {count:,} images of {side} px"
    taken, one_by_one = bench.timed(loop)
    require(np.abs(np.array(one_by_one) - ssim[:few].cpu().numpy()).max() < 1e-5, "our SSIM and scikit-image's")
    rows = [row(what, ours, share, "scikit-image in a loop", taken * len(first) / few, f"{few} pairs")]
    for name, work in batched.items():
        work()
        rows.append(row(what, ours, share, name, bench.seconds(work) * len(first) / many, f"{many:,} pairs"))
    return rows


def frechet(bench: Bench) -> list[str]:
    random = np.random.default_rng(0)
    n, d = bench.size((50_000, 2048), (600, 256))
    first, second = (random.normal(i / 10, 1, (n, d)).astype(np.float32) for i in range(2))
    frechet_distance(first[:600, :64], second[:600, :64], bench.device)
    ours, distance = bench.timed(lambda: frechet_distance(first, second, bench.device))
    tensors = [torch.from_numpy(features).to(bench.device).double() for features in (first, second)]

    def moments() -> list[torch.Tensor]:
        return [value for features in tensors for value in (features.mean(0), torch.cov(features.T))]

    def with_root() -> float:
        mean, a, other, b = (value.cpu().numpy() for value in moments())
        return ((mean - other) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))

    what = f"Fréchet distance, {n:,} x {d:,} twice"
    # Half a product for each covariance, a whole one and half of one for the overlap.
    share = bench.ceiling.share(ours, 2 * n * d**2 + 3 * d**3, "float64")
    peers: dict[str, Callable[[], Any]] = {
        "torchmetrics' formula": lambda: _compute_fid(*moments()),
        "scipy's matrix square root": with_root,
    }
    rows = []
    for name, work in peers.items():
        taken, value = bench.timed(work)
        require(abs(float(value) / distance - 1) < 1e-4, "the Fréchet distances")
        rows.append(row(what, ours, share, name, taken))
    return rows


def packing(bench: Bench) -> list[str]:
    random = np.random.default_rng(0)
    count = bench.size(10_000, 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images" / "one"
        folder.mkdir(parents=True)
        base = Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).resize((256, 256))
        for i in range(count):
            base.rotate(i % 360).save(folder / f"{i:05d}.jpg", quality=90)
        source = image_folder(folder.parent)
        threads = torch.get_num_threads()
        ours = bench.seconds(lambda: pack(source, Shape(64, 3, "crop"), Path(name) / "images.npy", threads=threads))
        prepared = v2.Compose([v2.Resize(64), v2.PILToTensor()])
        loader = DataLoader(ImageFolder(folder.parent, prepared), 256, num_workers=2)
        peer = bench.seconds(lambda: torch.cat([images for images, _ in loader]))
    what = f"packing {count:,} JPEG of 256 px at 64 px"
    return [row(what, ours, f"{count / ours:,.0f} files a second", "ImageFolder and DataLoader, 2 workers", peer)]


def measure(bench: Bench) -> str:
    works: dict[str, Callable[[], list[str] | str]] = {
        f"neighbours of {kind}": partial(neighbours, bench, kind) for kind in ("bytes", "floats")
    }
    names = {"intrinsic dimension": dimension, "SSIM": ssim, "Fréchet distance": frechet, "packing": packing}
    works |= {name: partial(work, bench) for name, work in names.items()}
    return TEXT.format(rows=bench.rows(works, 6))
