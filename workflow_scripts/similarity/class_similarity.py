"""Similarity of the classes of an image set: SSIM-supSubCls (after Guo et al. 2023), and what stands beside it.

The published code of the measure is not public. Here it is, for a super-class of sub-classes c = 1..C,

    S = 2 / (C (C - 1)) sum over c < d of the mean SSIM of x in c and y in d,

so that every pair of sub-classes counts alike, however rare they are. With it come the mean of pairs within a
sub-class, of pairs from different super-classes, and the contrast of the first two.

Standard errors take images, not pairs, as the unit: pairs that share an image depend on each other. They are those of
dyadic data (Aronow, Samii and Assenova 2015); the interval is by a bootstrap over images of the measure's linear part,
scaled to that standard error. (Within each class and each cell of the matrix the parts of the images sum to zero, so
that resampling all images gives the variance of resampling within classes.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workflow_scripts.metrics.ssim import Channels, prepare, ssim_pairs

FIRST_PAIRS = 4000  # of a sample; it is doubled until the standard error is small enough
FEWEST_PAIRS = 2  # of each pair of classes: one alone says nothing of their variance
PREPARED_BYTES = 2**29  # of images in memory at once, with their statistics
DRAW_BYTES = 2**26  # of one chunk of resamples
MEASURES = ("between_sub", "within", "contrast", "between_super")


@dataclass(frozen=True)
class Value:
    """A mean SSIM (or a difference of two) with its standard error and 95 % interval; None where it has no pairs."""

    value: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassSimilarity:
    """Similarity of classes.

    matrix, matrix_se: (C, C) mean SSIM of pairs of images from two classes (diagonal: of two images of one), NaN
    without such pairs; the error is NaN, too, where a class has a single image. overall: mean over super-classes;
    by_superclass: each by itself; both by name of measure. pairs: how many were compared. exact: whether that is all
    pairs. sampling_se: of S against that of all pairs, 0 where all pairs of different classes were compared.
    """

    classes: tuple[str, ...]
    matrix: np.ndarray
    matrix_se: np.ndarray
    overall: dict[str, Value | None]
    by_superclass: dict[str, dict[str, Value | None]]
    pairs: int
    exact: bool
    sampling_se: float
    notes: tuple[str, ...]


def measure_similarity(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    superclasses: Mapping[str, Sequence[str]] | None = None,
    channels: Channels = "luminance",
    standard_error: float = 0.002,
    exact_pairs: int = 500_000,
    bootstraps: int = 500,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> ClassSimilarity:
    """Compare images, uint8 (N, H, W, C), of the classes that labels (N,) name by index; -1 is left out.

    superclasses: name to its classes; None: one super-class of all. Up to `exact_pairs` pairs all are taken; of more, a
    sample in which every pair of classes has equally many pairs and every image of a class takes part equally often,
    large enough for the sampling error of S to be at most `standard_error`.
    """
    random = np.random.default_rng([seed, len(images)])
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    kept = [name for name, count in zip(classes, counts, strict=True) if count]
    notes = [f"class {name!r} has no images" for name, count in zip(classes, counts, strict=True) if not count]
    present = np.flatnonzero(counts)
    counts = counts[present]
    notes += [
        f"class {name!r} has one image: no pair within it, and intervals leave out how another image of it would differ"
        for name, count in zip(kept, counts, strict=True)
        if count == 1
    ]
    weights, by_superclass = _weights(kept, superclasses)
    # Images sorted by class; those of class c start at starts[c].
    members = np.concatenate([np.flatnonzero(labels == one) for one in present])
    starts = np.cumsum(counts) - counts
    most = _most_pairs(counts)
    if most.sum() <= exact_pairs:
        place = np.stack(np.triu_indices(len(members), 1))
        c, d = np.repeat(np.arange(len(kept)), counts)[place]
        cell = c * len(kept) - c * (c - 1) // 2 + d - c
        pairs = members[place]
        found, sampling_se = _compare(images, pairs, channels, device), 0.0
    else:
        shuffled = np.concatenate([random.permutation(one) for one in np.split(members, starts[1:])])
        wanted, had = max(FEWEST_PAIRS, -(-FIRST_PAIRS // len(most))), 0
        pairs, cell, found = np.empty((2, 0), dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
        while True:
            more, more_cell = _some_pairs(counts, starts, had, wanted)
            found = np.concatenate([found, _compare(images, shuffled[more], channels, device)])
            pairs, cell = np.concatenate([pairs, shuffled[more]], axis=1), np.concatenate([cell, more_cell])
            sampling_se = _sampling_se(found, cell, most, weights["between_sub"])
            if sampling_se <= standard_error or len(found) == most.sum():
                break
            had, wanted = wanted, 2 * wanted

    errors = _Errors(counts, pairs, cell, found, len(images))
    names = [*weights, *((group, name) for group, each in by_superclass.items() for name in each)]
    every = [*weights.values(), *(one for each in by_superclass.values() for one in each.values())]
    values = dict(zip(names, errors.values(np.array(every), bootstraps, random), strict=True))
    return ClassSimilarity(
        tuple(kept),
        errors.matrix(errors.mean),
        errors.matrix(errors.cell_se()),
        {name: values[name] for name in weights},
        {group: {name: values[group, name] for name in each} for group, each in by_superclass.items()},
        len(found),
        len(found) == int(most.sum()),
        sampling_se,
        tuple(notes),
    )


def _compare(images: np.ndarray, pairs: np.ndarray, channels: Channels, device: torch.device | str) -> np.ndarray:
    """SSIM float64 (P,) of pairs (2, P) of images, with no more images prepared at once than memory is meant for."""
    channel_count = 1 if channels == "luminance" else images.shape[3]
    size = max(1, PREPARED_BYTES // (2 * 4 * 4 * channel_count * images.shape[1] * images.shape[2]))
    used, place = np.unique(pairs, return_inverse=True)
    blocks = -(-len(used) // size)
    if pairs.shape[1] < size * blocks * (blocks + 1) // 2:
        key = np.arange(pairs.shape[1]) // size
    else:
        # So many pairs that it pays to take together those of the same two blocks of images.
        block = place.reshape(pairs.shape) // size
        key = block.min(axis=0) * blocks + block.max(axis=0)
    found = np.empty(pairs.shape[1])
    for one in np.unique(key):
        rows = np.flatnonzero(key == one)
        used, place = np.unique(pairs[:, rows], return_inverse=True)
        first, second = torch.from_numpy(place.reshape(2, -1)).to(device)
        found[rows] = ssim_pairs(prepare(images[used], channels, device), first, second).double().cpu().numpy()
    return found


def _most_pairs(counts: np.ndarray) -> np.ndarray:
    """All pairs of images of each pair of classes c <= d, in the order of np.triu_indices: the cells."""
    c, d = np.triu_indices(len(counts))
    return np.where(c == d, counts[c] * (counts[c] - 1) // 2, counts[c] * counts[d])


def _some_pairs(counts: np.ndarray, starts: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs number start to stop of each cell, (2, P) places in the images sorted by class, and their cells (P,).

    The row of all pairs of a cell is such that each image comes as often as any other of its class. Cells that share a
    class begin at places spread evenly over its images: their errors would otherwise come from the same images, and be
    larger together than a standard error that takes the cells as independent.
    """
    c, d = np.triu_indices(len(counts))
    most = _most_pairs(counts)
    wanted = np.minimum(most, stop) - np.minimum(most, start)
    cell = np.repeat(np.arange(len(most)), wanted)
    number = start + np.arange(len(cell)) - (np.cumsum(wanted) - wanted)[cell]
    c, d = c[cell], d[cell]
    m, n = counts[c], counts[d]
    first, second = d * m // len(counts), c * n // len(counts)
    shift = number // np.lcm(m, n) + (c == d)
    return np.stack([starts[c] + (number + first) % m, starts[d] + (number + second + shift) % n]), cell


def _weights(
    kept: list[str], superclasses: Mapping[str, Sequence[str]] | None
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """For each measure the weight of each cell, all zero where it has no pairs: overall, and for each super-class."""
    c, d = np.triu_indices(len(kept))
    by_superclass: dict[str, dict[str, np.ndarray]] = {}
    place = np.full(len(kept), -1)
    for number, (name, some) in enumerate((superclasses or {"all": kept}).items()):
        inside = np.isin(kept, list(some))
        if not inside.any():
            continue
        place[inside] = number
        between, within = (_shares(inside[c] & inside[d] & kind) for kind in (c != d, c == d))
        both = between.any() and within.any()
        contrast = between - within if both else np.zeros_like(between)
        by_superclass[name] = {"between_sub": between, "within": within, "contrast": contrast}
    overall = {}
    for name in ("between_sub", "within", "contrast"):
        # The mean over the super-classes that have such pairs.
        some_weights = [each[name] for each in by_superclass.values() if each[name].any()]
        overall[name] = np.mean(some_weights, axis=0) if some_weights else np.zeros(len(c))
    return overall | {"between_super": _shares(place[c] != place[d])}, by_superclass


def _shares(cells: np.ndarray) -> np.ndarray:
    return cells / max(np.count_nonzero(cells), 1)


def _sampling_se(found: np.ndarray, cell: np.ndarray, most: np.ndarray, weights: np.ndarray) -> float:
    """Standard error of the weighted mean of cells against that of all pairs, pairs being a sample of each cell.

    A cell of which all pairs are in the sample adds none: rare classes would otherwise never let it fall.
    """
    count = np.bincount(cell, minlength=len(most))
    mean = np.bincount(cell, found, len(most)) / np.maximum(count, 1)
    variance = np.bincount(cell, (found - mean[cell]) ** 2, len(most)) / np.maximum(count - 1, 1)
    left_out = 1 - count / np.maximum(most, 1)
    return float(np.sqrt((weights**2 * left_out * variance / np.maximum(count, 1)).sum()))


class _Errors:
    """Means of cells, and the errors of their weighted sums.

    mean: (cells,), NaN without pairs. smallest: (cells,) independent comparisons of a cell: its pairs, or the images of
    the rarer of its two classes.
    """

    def __init__(self, counts: np.ndarray, pairs: np.ndarray, cell: np.ndarray, found: np.ndarray, images: int) -> None:
        c, d = np.triu_indices(len(counts))
        self.classes, self.pairs, self.cell, self.images = len(counts), pairs, cell, images
        self.count = np.bincount(cell, minlength=len(c))
        with np.errstate(invalid="ignore"):
            self.mean = np.bincount(cell, found, len(c)) / self.count
        self.smallest = np.minimum(self.count, np.minimum(counts[c], counts[d]))
        # Deviations from a mean that was taken from the same few are too small, by this on average.
        lost = np.sqrt(self.smallest / np.maximum(self.smallest - 1, 1))
        self.share = (found - self.mean[cell]) * (lost / np.maximum(self.count, 1))[cell]  # of a pair in a mean's error

    def matrix(self, cells: np.ndarray) -> np.ndarray:
        """Cells as a symmetric matrix (C, C)."""
        full, (c, d) = np.empty((self.classes, self.classes)), np.triu_indices(self.classes)
        full[c, d] = full[d, c] = cells
        return full

    def cell_se(self) -> np.ndarray:
        """Standard error of each cell's mean, NaN where that cannot be known."""
        # One sum for each image in each cell that it takes part in.
        keys, place = np.unique(np.tile(self.cell, 2) * self.images + self.pairs.reshape(-1), return_inverse=True)
        by_image = np.bincount(place, np.tile(self.share, 2))
        cells = len(self.count)
        own = np.bincount(self.cell, self.share**2, cells)
        squares = np.bincount(keys // self.images, by_image**2, cells)
        return np.where(self.smallest > 1, np.sqrt(np.maximum(squares - own, own)), np.nan)

    def values(self, weights: np.ndarray, bootstraps: int, random: np.random.Generator) -> list[Value | None]:
        """The weighted mean of cells for each row of weights (K, cells), None where it has no pairs."""
        known = weights.any(axis=1) & ~(weights != 0)[:, self.count == 0].any(axis=1)
        middle, by_image, se = np.zeros(len(weights)), np.zeros((len(weights), self.images)), np.zeros(len(weights))
        for k in np.flatnonzero(known):
            part = weights[k][self.cell] * self.share
            by_image[k] = sum(np.bincount(side, part, self.images) for side in self.pairs)
            # Each pair stands in the squares of two images, and once in the sum over pairs that share an image.
            se[k] = np.sqrt(max((by_image[k] ** 2).sum() - (part**2).sum(), (part**2).sum()))
            middle[k] = weights[k] @ np.nan_to_num(self.mean)
        scale = se / np.maximum(np.sqrt((by_image**2).sum(axis=1)), 1e-300)
        equal, chunk = np.full(self.images, 1 / self.images), max(1, DRAW_BYTES // (8 * self.images))
        draws = (
            random.multinomial(self.images, equal, min(chunk, bootstraps - i)) for i in range(0, bootstraps, chunk)
        )
        # Not by BLAS, whose last digit depends on the number of threads.
        moved = np.concatenate([np.einsum("bi,ki->bk", some - 1.0, by_image) for some in draws]) * scale
        low, high = middle + np.quantile(moved, [0.025, 0.975], axis=0)
        found = np.stack([middle, se, low, high], axis=1).tolist()
        return [Value(*one) if ok else None for one, ok in zip(found, known, strict=True)]
