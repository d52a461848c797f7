"""Similarity of the classes of an image set: SSIM-supSubCls (after Guo et al. 2023), and what stands beside it.

The published code of the measure is not public. Here it is, for a super-class of sub-classes c = 1..C,

    S = 2 / (C (C - 1)) sum over c < d of the mean SSIM of x in c and y in d,

so that every pair of sub-classes counts alike, however rare they are. With it come the mean of pairs within a
sub-class, of pairs from different super-classes, and the contrast of the first two.

Standard errors take images, not pairs, as the unit: pairs that share an image depend on each other. They are those of
dyadic data (Aronow, Samii and Assenova 2015); the interval is by a bootstrap over images of the measure's linear part,
scaled to that standard error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workflow_scripts.similarity.ssim import Channels, prepare, ssim_pairs

FIRST_PAIRS = 4000  # of a sample; it is doubled until the standard error is small enough
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
    without such pairs. overall: mean over super-classes; by_superclass: each by itself; both by name of measure.
    pairs: how many were compared. exact: whether that is all pairs. sampling_se: of S against that of all pairs.
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
    notes += [
        f"class {name!r} has one image: no pair within it" for name in kept if counts[list(classes).index(name)] == 1
    ]
    members = [np.flatnonzero(labels == list(classes).index(name)) for name in kept]
    groups = _groups(kept, superclasses)

    def compare(pairs: np.ndarray) -> np.ndarray:
        used, place = np.unique(pairs, return_inverse=True)
        first, second = torch.from_numpy(place.reshape(pairs.shape)).to(device)
        return ssim_pairs(prepare(images[used], channels, device), first, second).double().cpu().numpy()

    total = sum(map(len, members))
    exact = total * (total - 1) // 2 <= exact_pairs
    if exact:
        cells = [_all_pairs(members[c], members[d], c == d) for c, d in _class_pairs(len(kept))]
        pairs = np.concatenate(cells, axis=1)
        cell = np.repeat(np.arange(len(cells)), [part.shape[1] for part in cells])
        found = compare(pairs)
        sampling_se = 0.0
    else:
        orders = [random.permutation(one) for one in members]
        wanted, had = -(-FIRST_PAIRS // len(_class_pairs(len(kept)))), 0
        pairs, cell, found = np.empty((2, 0), dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
        while True:
            cells = [_some_pairs(orders[c], orders[d], c == d, had, wanted) for c, d in _class_pairs(len(kept))]
            more = np.concatenate(cells, axis=1)
            found = np.concatenate([found, compare(more)])
            pairs = np.concatenate([pairs, more], axis=1)
            cell = np.concatenate([cell, np.repeat(np.arange(len(cells)), [part.shape[1] for part in cells])])
            sampling_se = _sampling_se(found, cell, len(cells), _weights(kept, groups)["between_sub"])
            if sampling_se <= standard_error or not more.size:
                break
            had, wanted = wanted, 2 * wanted
    return _summarise(
        kept, groups, pairs, cell, found, len(images), bootstraps, random, exact, sampling_se, tuple(notes)
    )


def _groups(kept: list[str], superclasses: Mapping[str, Sequence[str]] | None) -> dict[str, list[int]]:
    """Indices of the classes of each super-class that has any."""
    found = {
        name: [kept.index(one) for one in some if one in kept] for name, some in (superclasses or {"all": kept}).items()
    }
    return {name: some for name, some in found.items() if some}


def _class_pairs(count: int) -> list[tuple[int, int]]:
    return [(c, d) for c in range(count) for d in range(c, count)]


def _all_pairs(first: np.ndarray, second: np.ndarray, same: bool) -> np.ndarray:
    if same:
        i, j = np.triu_indices(len(first), 1)
        return np.stack([first[i], first[j]])
    return np.stack([np.repeat(first, len(second)), np.tile(second, len(first))])


def _some_pairs(first: np.ndarray, second: np.ndarray, same: bool, start: int, stop: int) -> np.ndarray:
    """Pairs number start to stop of a row of all pairs in which each image comes as often as any other of its class."""
    m, n = len(first), len(second)
    most = n * (n - 1) // 2 if same else m * n
    number = np.arange(min(start, most), min(stop, most))
    turn = number // np.lcm(m, n)
    return np.stack([first[number % m], second[(number + turn + same) % n]])


def _weights(kept: list[str], groups: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """For the overall value of each measure, the weight of each pair of classes; all zero where it has no pairs."""
    each = [_group_weights(len(kept), some) for some in groups.values()]
    found = {name: _mean_of([one[name] for one in each]) for name in ("between_sub", "within", "contrast")}
    place = {one: name for name, some in groups.items() for one in some}
    super_pairs = np.array([place.get(c) != place.get(d) for c, d in _class_pairs(len(kept))], dtype=float)
    found["between_super"] = super_pairs / max(super_pairs.sum(), 1)
    return found


def _group_weights(count: int, some: list[int]) -> dict[str, np.ndarray]:
    inside = [c in some and d in some for c, d in _class_pairs(count)]
    within = np.array([ok and c == d for ok, (c, d) in zip(inside, _class_pairs(count), strict=True)], dtype=float)
    between = np.array([ok and c != d for ok, (c, d) in zip(inside, _class_pairs(count), strict=True)], dtype=float)
    between, within = between / max(between.sum(), 1), within / max(within.sum(), 1)
    both = between.any() and within.any()
    return {"between_sub": between, "within": within, "contrast": between - within if both else np.zeros_like(between)}


def _mean_of(weights: list[np.ndarray]) -> np.ndarray:
    """Mean over the super-classes that have such pairs."""
    some = [one for one in weights if one.any()]
    return np.mean(some, axis=0) if some else weights[0]


def _sampling_se(found: np.ndarray, cell: np.ndarray, cells: int, weights: np.ndarray) -> float:
    """Standard error of the weighted mean of cells against that of all pairs, pairs being a sample of each cell."""
    count = np.bincount(cell, minlength=cells)
    mean = np.bincount(cell, found, cells) / np.maximum(count, 1)
    variance = np.bincount(cell, (found - mean[cell]) ** 2, cells) / np.maximum(count - 1, 1)
    return float(np.sqrt((weights**2 * variance / np.maximum(count, 1)).sum()))


def _summarise(
    kept: list[str],
    groups: dict[str, list[int]],
    pairs: np.ndarray,
    cell: np.ndarray,
    found: np.ndarray,
    images: int,
    bootstraps: int,
    random: np.random.Generator,
    exact: bool,
    sampling_se: float,
    notes: tuple[str, ...],
) -> ClassSimilarity:
    class_pairs = _class_pairs(len(kept))
    count = np.bincount(cell, minlength=len(class_pairs))
    mean = np.bincount(cell, found, len(class_pairs)) / np.maximum(count, 1)
    share = (found - mean[cell]) / count[cell]  # of each pair in the error of its cell's mean

    def spread(weights: np.ndarray) -> tuple[np.ndarray, float]:
        """The part of each image in the error of a weighted mean of cells, and its standard error."""
        part = weights[cell] * share
        by_image = np.bincount(pairs[0], part, images) + np.bincount(pairs[1], part, images)
        # Each pair stands in the squares of two images, and once in the sum over pairs that share an image.
        variance = max((by_image**2).sum() - (part**2).sum(), (part**2).sum())
        return by_image, float(np.sqrt(variance))

    draws = random.multinomial(images, np.full(images, 1 / images), size=bootstraps) - 1.0

    def value(weights: np.ndarray) -> Value | None:
        if not weights.any() or (count[weights != 0] == 0).any():
            return None
        by_image, se = spread(weights)
        moved = draws @ by_image
        moved *= se / max(np.sqrt((by_image**2).sum()), 1e-300)
        low, high = np.quantile(moved, [0.025, 0.975])
        middle = float(weights @ mean)
        return Value(middle, se, middle + float(low), middle + float(high))

    matrix, matrix_se = (np.full((len(kept), len(kept)), np.nan) for _ in range(2))
    for number, (c, d) in enumerate(class_pairs):
        if count[number]:
            alone = np.zeros(len(class_pairs))
            alone[number] = 1
            matrix[c, d] = matrix[d, c] = mean[number]
            matrix_se[c, d] = matrix_se[d, c] = spread(alone)[1]
    each = {name: _group_weights(len(kept), some) for name, some in groups.items()}
    return ClassSimilarity(
        tuple(kept),
        matrix,
        matrix_se,
        {name: value(weights) for name, weights in _weights(kept, groups).items()},
        {group: {name: value(one) for name, one in weights.items()} for group, weights in each.items()},
        len(found),
        exact,
        sampling_se,
        notes,
    )
