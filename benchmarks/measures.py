"""The searches and measures beside what a user would take instead: neighbours, dimension, SSIM, Fréchet, packing."""

import tempfile
import time
from collections.abc import Callable
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

from workflow_scripts.complexity.dimension import estimate_dimension
from workflow_scripts.data.packing import Shape, pack
from workflow_scripts.data.sources import image_folder
from workflow_scripts.replication.neighbours import nearest_neighbours
from workflow_scripts.replication.quality import frechet_distance
from workflow_scripts.similarity.ssim import prepare, ssim_pairs

TEXT = """## Searches and measures beside their peers

Ours and the peer's time in the same process, each once after a small run that loads everything; the ratio is theirs
over ours. Times in brackets are extrapolated from the share of the work that is named. The machine's matrix product
(float32, 4,096 squared) reached {gflops:.0f} GFLOP/s in the same run; the searches are given as a share of it.

| work | ours, s | peer | peer, s | ratio |
|---|---|---|---|---|
{rows}
"""


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(work: str, ours: float, peer: str, theirs: float, share: str = "") -> str:
    taken = f"({theirs:.1f}: {share})" if share else f"{theirs:.1f}"
    return f"| {work} | {ours:.2f} | {peer} | {taken} | {theirs / ours:.1f} |"


def matrix_rate() -> float:
    """Operations a second of the machine's float32 matrix product."""
    left, right = torch.randn(4096, 4096), torch.randn(4096, 4096)
    left @ right
    return 2 * 4096**3 / min(seconds(lambda: left @ right) for _ in range(3))


def neighbours(rate: float) -> list[str]:
    random = np.random.default_rng(0)
    references = random.integers(0, 256, (50_000, 3072), dtype=np.uint8)
    queries = random.integers(0, 256, (10_000, 3072), dtype=np.uint8)
    floats = references.astype(np.float32), queries.astype(np.float32)
    nearest_neighbours(queries[:64], references[:256], 2)
    index = faiss.IndexFlatL2(3072)
    index.add(floats[0])
    index.search(floats[1][:64], 2)
    bytes_ = seconds(lambda: nearest_neighbours(queries, references, 2))
    values = seconds(lambda: nearest_neighbours(floats[1], floats[0], 2))
    peer = seconds(lambda: index.search(floats[1], 2))
    brute = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(floats[0])
    other = seconds(lambda: brute.kneighbors(floats[1]))
    work = 2 * 50_000 * 10_000 * 3072 / rate
    what = "neighbours, 10,000 in 50,000, 3,072 {}; {:.0f} % of the matrix product"
    return [
        row(what.format("bytes", 100 * work / bytes_), bytes_, "faiss IndexFlatL2", peer),
        row(what.format("floats", 100 * work / values), values, "faiss IndexFlatL2", peer),
        row(what.format("floats", 100 * work / values), values, "scikit-learn, brute", other),
    ]


def dimension() -> list[str]:
    images = np.random.default_rng(0).normal(size=(10_000, 16)) @ np.random.default_rng(1).normal(size=(16, 3072))
    images = images.astype(np.float32)
    ours = seconds(lambda: estimate_dimension(images, 10, 20, 100, 0))
    published = 11 * 100 * seconds(lambda: skdim.id.MLE(K=20).fit(images[:6_321]))  # as many are distinct in a resample
    return [
        row(
            "intrinsic dimension, 10,000 x 3,072, k = 10..20, 100 resamples", ours,
            "scikit-dimension in each resample, for each k", published, "one of 1,100",
        )
    ]  # fmt: skip


def ssim() -> list[str]:
    images = np.random.default_rng(0).integers(0, 256, (1_000, 64, 64, 1), dtype=np.uint8)
    first, second = (torch.tensor(one) for one in zip(*combinations(range(1_000), 2), strict=True))
    ssim_pairs(prepare(images[:20]), torch.arange(10), torch.arange(10, 20))
    ours = seconds(lambda: ssim_pairs(prepare(images), first, second))
    few, many = 200, 2_000
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}

    def loop() -> None:
        for i, j in zip(first[:few].tolist(), second[:few].tolist(), strict=True):
            structural_similarity(images[i, :, :, 0], images[j, :, :, 0], **options)

    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    left, right = floats[first[:many]], floats[second[:many]]
    batched = {
        "pytorch-msssim, batched": lambda: msssim(left, right, data_range=255, size_average=False),
        "torchmetrics, batched": lambda: structural_similarity_index_measure(
            left, right, data_range=255.0, reduction="none"
        ),
    }
    what = "SSIM, all 499,500 pairs of 1,000 images of 64 px"
    rows = [row(what, ours, "scikit-image in a loop", seconds(loop) * len(first) / few, f"{few} pairs")]
    for name, work in batched.items():
        rows.append(row(what, ours, name, seconds(work) * len(first) / many, f"{many} pairs"))
    return rows


def frechet() -> list[str]:
    random = np.random.default_rng(0)
    first, second = (random.normal(i / 10, 1, (50_000, 2048)).astype(np.float32) for i in range(2))
    ours = seconds(lambda: frechet_distance(first, second))
    tensors = [torch.from_numpy(one).double() for one in (first, second)]

    def moments() -> list[torch.Tensor]:
        return [value for one in tensors for value in (one.mean(0), torch.cov(one.T))]

    def with_root() -> None:
        _, a, _, b = (value.numpy() for value in moments())
        sqrtm(a @ b)

    what = "Fréchet distance, 50,000 x 2,048 twice"
    return [
        row(what, ours, "torchmetrics' formula", seconds(lambda: _compute_fid(*moments()))),
        row(what, ours, "scipy's matrix square root", seconds(with_root)),
    ]


def packing() -> list[str]:
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images" / "one"
        folder.mkdir(parents=True)
        base = Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).resize((256, 256))
        for i in range(10_000):
            base.rotate(i % 360).save(folder / f"{i:05d}.jpg", quality=90)
        source = image_folder(folder.parent)
        threads = torch.get_num_threads()
        ours = seconds(lambda: pack(source, Shape(64, 3, "crop"), Path(name) / "images.npy", threads=threads))
        prepared = v2.Compose([v2.Resize(64), v2.PILToTensor()])
        loader = DataLoader(ImageFolder(folder.parent, prepared), 256, num_workers=2)
        peer = seconds(lambda: torch.cat([images for images, _ in loader]))
    what = "packing 10,000 JPEG of 256 px at 64 px"
    return [row(what, ours, "ImageFolder and DataLoader, 2 workers", peer)]


def measure() -> str:
    rate = matrix_rate()
    rows = [*neighbours(rate), *dimension(), *ssim(), *frechet(), *packing()]
    return TEXT.format(gflops=rate / 1e9, rows="\n".join(rows))
