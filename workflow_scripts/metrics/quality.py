"""How good samples are, and how varied: comparisons of two sets of features, in any space.

Features are floating-point (n, d), and it does not matter where they come from: of Inception-v3's pooling features the
Fréchet distance is the FID and the kernel distance the KID; of others they are the same statistics of that space.
"""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.devices import or_on_cpu
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.progress import progress
from workflow_scripts.data.subsets import first_half
from workflow_scripts.metrics.neighbours import nearest_neighbours, squared_distances
from workflow_scripts.metrics.products import Block, Form, each_block

ROWS_AT_A_TIME = 8192  # of a product with itself NumPy mirrors one half afterwards: of few products rather than many
ROWS_OF_KERNEL = 1024  # of a kernel held at a time
MEASURES = ("frechet", "kernel", "precision", "recall", "density", "coverage")
FRECHET_TOLERANCE = 1e-5  # relative


def compare(real: np.ndarray, samples: np.ndarray, device: torch.device | str = "cpu") -> dict[str, float | None]:
    """All measures of this module for samples (m, ...) against real points (n, ...), uint8 images or features.

    Pixels count as values in 0..1. A measure that the sets are too small for is None.
    """
    real, samples = vectors(real), vectors(samples)
    fewest, values = min(len(real), len(samples)), dict[str, float | None].fromkeys(MEASURES)
    if fewest >= 2:
        values["frechet"] = frechet_distance(real, samples, device)
    if fewest >= 4:
        values["kernel"] = kernel_distance(real, samples, device=device)
        values["precision"], values["recall"] = precision_recall(real, samples, device=device)
    if fewest >= 6:
        values["density"], values["coverage"] = density_coverage(real, samples, device=device)
    return values


def compare_halves(
    real: np.ndarray, device: torch.device | str = "cpu", groups: np.ndarray | None = None
) -> dict[str, float | None]:
    """The control of `compare`: one random half of real points (n, ...) as samples against the other.

    groups: (n,), none of which is in both halves.
    """
    order = np.random.default_rng(len(real)).permutation(len(real))
    half = first_half(len(real), groups, order)
    return compare(real[half], real[~half], device)


def vectors(points: np.ndarray) -> np.ndarray:
    """Points (n, ...) as floating-point rows (n, d): uint8 images as values in 0..1, features as they are."""
    flat = np.asarray(points).reshape(len(points), math.prod(points.shape[1:]))
    return flat.astype(np.float32) / 255 if flat.dtype == np.uint8 else flat


def frechet_distance(first: np.ndarray, second: np.ndarray, device: torch.device | str = "cpu") -> float:
    """Fréchet distance between normal distributions with the sets' means and covariances (Heusel et al. 2017).

    first (n, d), second (m, d), at least two rows each. |mean difference|^2 + Tr(A + B - 2 (AB)^(1/2)), where the last
    trace is the sum of the singular values of F G' with A = F'F and B = G'G. No matrix square root is taken, and a set
    of fewer rows than columns is its own small factor F. Raises InputError for fewer rows.
    """
    if min(len(first), len(second)) < 2:
        raise InputError("Fréchet distance: each set needs at least two rows")
    return or_on_cpu(partial(_frechet_distance, first, second), torch.device(device))


def _frechet_distance(first: np.ndarray, second: np.ndarray, device: torch.device) -> float:
    mean, factor = _normal(first, device)
    other_mean, other_factor = _normal(second, device)
    apart = (mean - other_mean).square().sum() + factor.square().sum() + other_factor.square().sum()
    cross = factor @ other_factor.T
    # Singular values as roots of eigenvalues take a fifth of the time, but the small ones drown in rounding.
    squares = torch.linalg.eigvalsh(cross @ cross.T if len(cross) < cross.shape[1] else cross.T @ cross)
    overlap = squares.clamp(min=0).sqrt()
    rounding = 16 * torch.finfo(torch.float64).eps * squares.amax()
    doubt = (rounding / (overlap + rounding.sqrt())).sum() if rounding > 0 else rounding
    if 2 * doubt > FRECHET_TOLERANCE * (apart - 2 * overlap.sum()):
        overlap = torch.linalg.svdvals(cross)
    return max(0.0, float(apart - 2 * overlap.sum()))


def kernel_distance(
    first: np.ndarray,
    second: np.ndarray,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018).

    first (n, d), second (m, d). Each of the subsets draws `subset_size` rows of both sets, or half of the smaller set
    if that is less, without replacement. Raises InputError for fewer than four rows.
    """
    size = min(subset_size, len(first) // 2, len(second) // 2)
    if size < 2:
        raise InputError("kernel distance: each set needs at least four rows")
    random = np.random.default_rng([seed, size])
    drawn = [[random.permutation(len(rows))[:size].copy() for rows in (first, second)] for _ in range(subsets)]
    return or_on_cpu(partial(_kernel_distance, first, second, drawn), torch.device(device))


def _kernel_distance(
    first: np.ndarray, second: np.ndarray, drawn: list[list[np.ndarray]], device: torch.device
) -> float:
    """That of the rows drawn for each subset, of both sets equally many."""
    subsets, size = len(drawn), len(drawn[0][0])
    # Where subsets share most of their rows, one kernel of all rows serves all subsets.
    together = subsets if max(len(first), len(second)) ** 2 < subsets * size**2 else 1
    total = 0.0
    with progress(subsets, "subsets", label="kernel distance") as bar:
        for start in range(0, subsets, together):
            part = drawn[start : start + together]
            (x, in_x), (y, in_y) = (
                _drawn(rows, [pair[side] for pair in part], device) for side, rows in enumerate((first, second))
            )
            for rows, members in ((x, in_x), (y, in_y)):
                itself = (rows.square().mean(dim=1) + 1) ** 3
                total += float(_kernel_sum(rows, members, rows, members) - (members @ itself).sum()) / (
                    size * (size - 1)
                )
            total -= 2 * float(_kernel_sum(x, in_x, y, in_y)) / size**2
            bar.advance(len(part))
    return total / subsets


def precision_recall(
    real: np.ndarray, samples: np.ndarray, k: int = 3, device: torch.device | str = "cpu"
) -> tuple[float, float]:
    """Share of samples within the real images' manifold, and of real images within the samples'.

    real (n, d), samples (m, d), more than k rows each. A set's manifold is the union of the balls around its points
    that reach their k-th neighbour in the set (Kynkaanniemi et al. 2019).
    """
    precision = _balls_around(samples, real, _radii(real, k, device), device) > 0
    recall = _balls_around(real, samples, _radii(samples, k, device), device) > 0
    return float(precision.mean()), float(recall.mean())


def density_coverage(
    real: np.ndarray, samples: np.ndarray, k: int = 5, device: torch.device | str = "cpu"
) -> tuple[float, float]:
    """Mean number of real images' balls around a sample, over k; and share of those balls that hold a sample.

    real (n, d), more than k rows; samples (m, d). A real image's ball reaches its k-th neighbour (Naeem et al. 2020).
    Density may exceed 1.
    """
    radii = _radii(real, k, device)
    density = _balls_around(samples, real, radii, device).mean() / k
    coverage = nearest_neighbours(real, samples, 1, device=device).distances[:, 0] <= radii
    return float(density), float(coverage.mean())


def _normal(features: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean (d,) of features (n, d), and a factor F (min(n, d), d) of their covariance F'F."""
    count, columns = features.shape
    mean = torch.from_numpy(features.mean(axis=0, dtype=np.float64)).to(device)
    if count <= columns:
        return mean, (torch.from_numpy(np.array(features)).to(device, torch.float64) - mean) / (count - 1) ** 0.5
    products = torch.zeros(columns, columns, dtype=torch.float64, device=device)
    held = torch.empty(ROWS_AT_A_TIME, columns, dtype=torch.float64, device=device)  # new memory would cost a pass
    for start in range(0, count, ROWS_AT_A_TIME):
        rows = torch.from_numpy(np.array(features[start : start + ROWS_AT_A_TIME]))
        products = _add_products(held[: len(rows)].copy_(rows).sub_(mean), products)
    covariance = products / (count - 1)
    factor, singular = torch.linalg.cholesky_ex(covariance)
    if singular:  # features that are constant or combinations of others
        values, vectors = torch.linalg.eigh(covariance)
        factor = vectors * values.clamp(min=0).sqrt()
    return mean, factor.T


def _add_products(rows: Tensor, products: Tensor) -> Tensor:
    """Products (d, d) and those of the columns of rows (n, d), float64, added in place.

    On the CPU by NumPy, which does half the work where an array is multiplied with itself.
    """
    if rows.device.type != "cpu":
        return products.addmm_(rows.T, rows)
    return products.add_(torch.from_numpy(rows.numpy().T @ rows.numpy()))


def _drawn(rows: np.ndarray, subsets: list[np.ndarray], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """The rows (n, d) that any of the subsets holds, and which of them each holds, 0 or 1 (subsets, n); float64."""
    union, place = np.unique(np.concatenate(subsets), return_inverse=True)
    members = torch.zeros(len(subsets), len(union), dtype=torch.float64)
    members.scatter_(1, torch.from_numpy(place.reshape(len(subsets), -1)), 1.0)
    return torch.from_numpy(np.asarray(rows[union])).to(device, torch.float64), members.to(device)


def _kernel_sum(x: Tensor, in_x: Tensor, y: Tensor, in_y: Tensor) -> Tensor:
    """Sum of the kernel over all pairs of a row of x (n, d) and one of y (m, d), once for each subset that has both."""
    total = x.new_zeros(())
    for start in range(0, len(x), ROWS_OF_KERNEL):
        part = slice(start, start + ROWS_OF_KERNEL)
        kernel = (x[part] @ y.T / x.shape[1] + 1) ** 3
        total += (in_x[:, part] @ kernel * in_y).sum()
    return total


def _radii(features: np.ndarray, k: int, device: torch.device | str) -> np.ndarray:
    return nearest_neighbours(features, features, k, device=device, exclude_self=True).distances[:, -1]


def _balls_around(points: np.ndarray, centres: np.ndarray, radii: np.ndarray, device: torch.device | str) -> np.ndarray:
    """How many of the balls, centres (n, d) and radii (n,), hold each point (m, d); their surface belongs to them.

    Only where the products' error leaves it open whether a point is inside are differences taken.
    """
    form, length = Form.of(torch.float64, centres), centres.shape[1]
    squares = torch.from_numpy(length * radii**2).to(device)
    counts = np.zeros(len(points), dtype=np.int64)

    def count(block: Block) -> None:
        largest = float(block.reference_norms.max()) ** 0.5
        error = form.error(block.query_norms.sqrt(), largest, length)[:, None]
        beyond = (2 * block.half).add_(block.query_norms[:, None]).sub_(squares[block.columns])
        counts[block.rows] += (beyond < -error).sum(dim=1).cpu().numpy()
        row, column = (place.cpu().numpy() for place in (beyond.abs_() <= error).nonzero(as_tuple=True))
        row, column = row + block.rows.start, column + block.columns.start
        inside = np.sqrt(squared_distances(points, centres, row, column) / length) <= radii[column]
        np.add.at(counts, row[inside], 1)

    each_block(count, points, centres, form, torch.device(device))
    return counts
