"""Similarity of the classes of an image set: SSIM-supSubCls (after Guo et al. 2023), and what stands beside it.

The published code of the measure is not public. Here it is, for a super-class of sub-classes c = 1..C,

    S = 2 / (C (C - 1)) sum over c < d of the mean SSIM of x in c and y in d,

so that every pair of sub-classes counts alike, however rare they are. With it come the mean of pairs within a
sub-class, of pairs from different super-classes, and the contrast of the first two.

Standard errors take images, not pairs, as the unit: pairs that share an image depend on each other. They are those of
dyadic data (Aronow, Samii and Assenova 2015), V = sum over images of R_i^2 - sum over pairs of e_p^2 with e_p a pair's
part in the error and R_i the sum over the pairs of image i, each class corrected for its number of images as the
jackknife does. The intervals are Student's, with Satterthwaite's degrees of freedom: the few images of a rare class
tell its own part of the variance badly. A class with too few images to tell its part (one, or two within a class) takes
the mean of the other classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special

from workflow_scripts.core.devices import free_memory
from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.metrics.ssim import Channels, prepare, ssim_pairs

FIRST_PAIRS = 4000  # of a sample; it is doubled until the standard error is small enough
FEWEST_PAIRS = 2  # of each pair of classes: one alone says nothing of their variance
PREPARED_BYTES = 2**29  # of images in memory at once, with their statistics
MEASURES = ("between_sub", "within", "contrast", "between_super")


@dataclass(frozen=True)
class Value:
    """A mean SSIM (or a difference of two) with its standard error and 95 % interval.

    Error and ends are None where every class has too few images to tell them.
    """

    value: float
    se: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassSimilarity:
    """Similarity of classes.

    matrix, matrix_se: (C, C) mean SSIM of pairs of images from two classes (diagonal: of two images of one), NaN
    without such pairs; the error is NaN, too, where a class has a single image (two within a class). overall: mean over
    super-classes; by_superclass: each by itself; flat: all classes as one super-class, which is how groups of classes
    are measured too; by name of measure, None where it has no pairs. pairs: how many were compared. exact: whether that
    is all pairs. sampling_se: of S against that of all pairs, 0 where all pairs of different classes were compared.
    """

    classes: tuple[str, ...]
    matrix: np.ndarray
    matrix_se: np.ndarray
    overall: dict[str, Value | None]
    by_superclass: dict[str, dict[str, Value | None]]
    flat: dict[str, Value | None]
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
        f"class {name!r} has {'one image' if count == 1 else 'two images'}: too few to tell how much its images "
        "differ, so intervals take the mean of the other classes; three images are enough"
        for name, count in zip(kept, counts, strict=True)
        if count < 3
    ]
    weights, by_superclass = _weights(kept, superclasses)
    flat = _weights(kept, None)[1]["all"]
    # Images sorted by class; those of class c start at starts[c].
    members = np.concatenate([np.flatnonzero(labels == index) for index in present])
    starts = np.cumsum(counts) - counts
    most = _most_pairs(counts)
    if most.sum() <= exact_pairs:
        place = np.stack(np.triu_indices(len(members), 1))
        c, d = np.repeat(np.arange(len(kept)), counts)[place]
        cell = c * len(kept) - c * (c - 1) // 2 + d - c
        pairs = members[place]
        ssim, sampling_se = _compare(images, pairs, channels, device), 0.0
    else:
        shuffled = np.concatenate([random.permutation(own) for own in np.split(members, starts[1:])])
        wanted, had = max(FEWEST_PAIRS, -(-FIRST_PAIRS // len(most))), 0
        pairs, cell, ssim = np.empty((2, 0), dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
        while True:
            more, more_cell = _some_pairs(counts, starts, had, wanted)
            ssim = np.concatenate([ssim, _compare(images, shuffled[more], channels, device)])
            pairs, cell = np.concatenate([pairs, shuffled[more]], axis=1), np.concatenate([cell, more_cell])
            sampling_se = _sampling_se(ssim, cell, most, weights["between_sub"])
            if sampling_se <= standard_error or len(ssim) == most.sum():
                break
            had, wanted = wanted, 2 * wanted

    errors = _Errors(counts, labels, present, pairs, cell, ssim)
    superclass_measures = [(group, name) for group in by_superclass for name in by_superclass[group]]
    rows = [*weights.values(), *flat.values(), *(by_superclass[group][name] for group, name in superclass_measures)]
    values = iter(errors.values(np.array(rows)))
    return ClassSimilarity(
        classes=tuple(kept),
        matrix=errors.matrix(errors.mean),
        matrix_se=errors.matrix(errors.cell_se()),
        overall={name: next(values) for name in weights},
        flat={name: next(values) for name in flat},
        by_superclass={group: {name: next(values) for name in named} for group, named in by_superclass.items()},
        pairs=len(ssim),
        exact=len(ssim) == int(most.sum()),
        sampling_se=sampling_se,
        notes=tuple(notes),
    )


def _compare(images: np.ndarray, pairs: np.ndarray, channels: Channels, device: torch.device | str) -> np.ndarray:
    """SSIM float64 (P,) of pairs (2, P) of images, with no more images prepared at once than memory is meant for."""
    channel_count = 1 if channels == "luminance" else images.shape[3]
    on_gpu = torch.device(device).type == "cuda"
    memory = min(PREPARED_BYTES, free_memory(torch.device(device)) // 4) if on_gpu else PREPARED_BYTES
    size = max(1, memory // (2 * 4 * 4 * channel_count * images.shape[1] * images.shape[2]))
    used, place = np.unique(pairs, return_inverse=True)
    blocks = -(-len(used) // size)
    if pairs.shape[1] < size * blocks * (blocks + 1) // 2:
        key = np.arange(pairs.shape[1]) // size
    else:
        # So many pairs that it pays to take together those of the same two blocks of images.
        block = place.reshape(pairs.shape) // size
        key = block.min(axis=0) * blocks + block.max(axis=0)
    ssim = np.empty(pairs.shape[1])
    for block_pair in np.unique(key):
        rows = np.flatnonzero(key == block_pair)
        used, place = np.unique(pairs[:, rows], return_inverse=True)
        first, second = torch.from_numpy(place.reshape(2, -1)).to(device)
        ssim[rows] = ssim_pairs(prepare(images[used], channels, device), first, second).double().cpu().numpy()
    return ssim


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
    for number, (name, members) in enumerate((superclasses or {"all": kept}).items()):
        inside = np.isin(kept, list(members))
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
        known = [measures[name] for measures in by_superclass.values() if measures[name].any()]
        overall[name] = np.mean(known, axis=0) if known else np.zeros(len(c))
    return overall | {"between_super": _shares(place[c] != place[d])}, by_superclass


def _shares(cells: np.ndarray) -> np.ndarray:
    return cells / max(np.count_nonzero(cells), 1)


def _sampling_se(ssim: np.ndarray, cell: np.ndarray, most: np.ndarray, weights: np.ndarray) -> float:
    """Standard error of the weighted mean of cells against that of all pairs, pairs being a sample of each cell.

    A cell of which all pairs are in the sample adds none: rare classes would otherwise never let it fall.
    """
    count = np.bincount(cell, minlength=len(most))
    mean = np.bincount(cell, ssim, len(most)) / np.maximum(count, 1)
    variance = np.bincount(cell, (ssim - mean[cell]) ** 2, len(most)) / np.maximum(count - 1, 1)
    left_out = 1 - count / np.maximum(most, 1)
    return float(np.sqrt((weights**2 * left_out * variance / np.maximum(count, 1)).sum()))


class _Errors:
    """Means of cells, mean (cells,), NaN without pairs, and the errors of their weighted sums."""

    def __init__(
        self,
        counts: np.ndarray,
        labels: np.ndarray,
        present: np.ndarray,
        pairs: np.ndarray,
        cell: np.ndarray,
        ssim: np.ndarray,
    ) -> None:
        self.counts, self.pairs, self.cell = counts, pairs, cell
        self.class_of = np.searchsorted(present, labels)  # of each image; beyond the last for none
        self.first, self.second = np.triu_indices(len(counts))
        self.count = np.bincount(cell, minlength=len(self.first))
        with np.errstate(invalid="ignore"):
            self.mean = np.bincount(cell, ssim, len(self.first)) / self.count
        self.share = (ssim - self.mean[cell]) / np.maximum(self.count, 1)[cell]  # of a pair in a mean's error
        # The jackknife's factors on an image's part in the error of a mean between classes, and within one.
        between = np.sqrt(counts / np.maximum(counts - 1, 1))
        within = np.sqrt(counts * np.maximum(counts - 1, 1)) / np.maximum(counts - 2, 1)
        self.inside = self.first == self.second
        self.factors = [np.where(self.inside, within[side], between[side]) for side in (self.first, self.second)]

    def matrix(self, cells: np.ndarray) -> np.ndarray:
        """Cells as a symmetric matrix (C, C)."""
        full = np.empty((len(self.counts), len(self.counts)))
        full[self.first, self.second] = full[self.second, self.first] = cells
        return full

    def cell_se(self) -> np.ndarray:
        """Standard error of each cell's mean, NaN where that cannot be known."""
        # One sum for each image in each cell that it takes part in.
        images, cells = len(self.class_of), len(self.count)
        keys, place = np.unique(np.tile(self.cell, 2) * images + self.pairs.reshape(-1), return_inverse=True)
        parts = np.concatenate([factor[self.cell] * self.share for factor in self.factors])
        squares = np.bincount(keys // images, np.bincount(place, parts) ** 2, cells)
        own = np.bincount(self.cell, self.share**2, cells)
        fewest = np.minimum(self.counts[self.first], self.counts[self.second])
        return np.where(fewest > 1 + self.inside, np.sqrt(np.maximum(squares - own, own)), np.nan)

    def values(self, weights: np.ndarray) -> list[Value | None]:
        """The weighted mean of cells for each row of weights (K, cells), None where it has no pairs."""
        return [None if not row.any() or (row[self.count == 0] != 0).any() else self._value(row) for row in weights]

    def _value(self, weights: np.ndarray) -> Value:
        part = weights[self.cell] * self.share
        by_image = sum(
            np.bincount(side, factor[self.cell] * part, len(self.class_of))
            for side, factor in zip(self.pairs, self.factors, strict=True)
        )
        classes = len(self.counts)
        by_class = np.bincount(self.class_of, by_image**2, classes + 1)[:classes]
        used = weights != 0
        inside = np.isin(np.arange(classes), self.first[used & self.inside])
        takes_part = np.isin(np.arange(classes), np.concatenate([self.first[used], self.second[used]]))
        degrees = self.counts - 1 - inside
        known = takes_part & (degrees > 0)
        value = float(weights @ np.nan_to_num(self.mean))
        if not known.any():
            return Value(value, None, None, None)
        per_image = (by_class * self.counts)[known].mean()
        by_class = np.where(known, by_class, np.where(takes_part, per_image / self.counts, 0.0))
        # Each pair stands in the squares of two images, and once in the sum over pairs that share an image.
        own = (part**2).sum()
        variance = max(by_class.sum() - own, own)
        se = float(np.sqrt(variance))
        # A rare class that happens to look calm would seem to be known well: no more degrees of freedom than if the
        # images of all classes scattered alike.
        alike = np.where(takes_part, 1 / self.counts, 0.0)
        free = min(_satterthwaite(by_class, degrees, variance), _satterthwaite(alike, degrees, float(alike.sum())))
        half = float(special.stdtrit(max(free, 1.0), (1 + LEVEL) / 2)) * se
        return Value(value, se, value - half, value + half)


def _satterthwaite(parts: np.ndarray, degrees: np.ndarray, total: float) -> float:
    """Degrees of freedom of a variance from those of its parts (C,)."""
    return float(total**2 / max((parts**2 / np.maximum(degrees, 1)).sum(), 1e-300))
