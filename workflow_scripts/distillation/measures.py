"""What a student took from its teachers, and how good each is: measures of logits, labels and features.

Logits are floating-point (N, C), labels integers (N,) in 0..C-1; several teachers are (M, N, C). Logarithms are
natural. Every measure comes with a 95 % interval over images: it says what other images would have given, not what
another training run would.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy import stats
from scipy.special import log_softmax, logsumexp

from workflow_scripts.core.intervals import LEVEL, newcombe, wilson
from workflow_scripts.data.imbalance import GROUPS, head_middle_tail

RESAMPLES = 1000
BINS = 10  # Guo et al. 2025 and most of the literature
BLOCKS = 20  # of the jackknife
VALUES_AT_A_TIME = 4_000_000
SMALLEST_FOR_CKA = 4 * BLOCKS


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; all NaN where there is nothing to measure."""

    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Agreement:
    """Share of images to which both give the same label: of all, and of those the teacher gets right and wrong."""

    everywhere: Estimate
    teacher_right: Estimate
    teacher_wrong: Estimate


@dataclass(frozen=True)
class Information:
    """Mutual information in nats: `plug_in` from the table as it is, `corrected` for its bias, with the interval."""

    plug_in: float
    corrected: Estimate


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error in 0..1: bins weighted by their images (the standard), and all alike."""

    weighted: Estimate
    unweighted: Estimate


@dataclass(frozen=True)
class Affinity:
    """Accuracy on augmented images as a share of the accuracy on clean ones, and minus it."""

    ratio: Estimate
    difference: Estimate


def bootstrap_means(values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Means over images of values (N, k) in each of the resamples drawn with replacement, (resamples, k)."""
    # Whole counts, divided last: rounding must not move the mean of equal values.
    return np.concatenate([times @ values for times in _times_drawn(len(values), seed, resamples)]) / len(values)


def _times_drawn(count: int, seed: int, resamples: int) -> Iterable[np.ndarray]:
    """How often each image is in each resample, (some, count): all resamples, a bounded number at a time."""
    return (_kept if count * resamples <= VALUES_AT_A_TIME else _drawn)(count, seed, resamples)


@lru_cache(maxsize=4)
def _kept(count: int, seed: int, resamples: int) -> tuple[np.ndarray, ...]:
    """Draws that every measure of the same images has in common."""
    return tuple(_drawn(count, seed, resamples))


def _drawn(count: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    random, step = np.random.default_rng([5, seed, count]), max(1, VALUES_AT_A_TIME // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = random.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(float)


def mean_estimate(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of values (N,) with its bootstrap interval; undefined values, NaN, are left out."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return NOTHING
    return _percentiles(float(known.mean()), bootstrap_means(known[:, None], seed)[:, 0])


def proportion(hits: np.ndarray) -> Estimate:
    """Share of the true among hits, bool (N,), with Wilson's interval."""
    if len(hits) == 0:
        return NOTHING
    count = np.count_nonzero(hits)
    low, high = wilson(count, len(hits))
    return Estimate(count / len(hits), float(low), float(high))


def _percentiles(value: float, resampled: np.ndarray) -> Estimate:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _recentred(value: float, resampled: np.ndarray) -> Estimate:
    """Interval of a statistic that no resample gives without more bias: its percentiles, moved to centre on it.

    Resamples repeat images, which raises mutual information and calibration errors once more. Not below 0.
    """
    estimate = _percentiles(value, resampled - resampled.mean() + value)
    return Estimate(value, max(0.0, estimate.low), max(0.0, estimate.high))


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities, float64, of logits (..., C) of any precision."""
    return log_softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def ensemble(teachers: np.ndarray, rule: Literal["probabilities", "logits"] = "probabilities") -> np.ndarray:
    """Log probabilities (N, C) of the mean of the teachers' probabilities, or of their logits, (M, N, C)."""
    if rule == "logits":
        return log_probabilities(np.asarray(teachers, dtype=np.float64).mean(axis=0))
    return logsumexp(log_probabilities(teachers), axis=0) - np.log(len(teachers))


def agreement(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray) -> Agreement:
    """Top-1 agreement of logits (N, C) with Wilson intervals, also apart where the teacher is right and wrong.

    Where the teacher is wrong, agreeing is to make the same mistake. Of an ensemble, give `ensemble(teachers)`.
    """
    chosen = teacher.argmax(axis=1)
    same, right = student.argmax(axis=1) == chosen, chosen == labels
    return Agreement(proportion(same), proportion(same[right]), proportion(same[~right]))


def divergence(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """KL(teacher || student) of each image in nats, (N,), of logits (N, C). `mean_estimate` gives its mean.

    Guo et al. 2025 multiply it by ten.
    """
    log_p, log_q = log_probabilities(teacher), log_probabilities(student)
    # A probability that underflows to 0 adds nothing, even where the student's logarithm is infinite.
    terms = np.where(log_p == -np.inf, 0.0, np.exp(log_p) * (log_p - log_q))
    return np.maximum(terms.sum(axis=1), 0.0)


def fidelity(student: np.ndarray, teachers: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    """Agreement and divergence of a student (N, C) and the mean probabilities of its teachers (M, N, C)."""
    together = ensemble(teachers)
    agreed = agreement(student, together, labels)
    return {
        "agreement": agreed.everywhere,
        "agreement_teacher_right": agreed.teacher_right,
        "agreement_teacher_wrong": agreed.teacher_wrong,
        "kl": mean_estimate(divergence(together, student), seed),
    }


def entropy(logits: np.ndarray) -> np.ndarray:
    """Entropy of each prediction in nats, 0..ln C, (N,), of logits (N, C)."""
    log_p = log_probabilities(logits)
    probabilities = np.exp(log_p)
    return -np.where(probabilities == 0, 0.0, probabilities * log_p).sum(axis=1)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Minus the log probability of the true label in nats, (N,), of logits (N, C)."""
    return -np.take_along_axis(log_probabilities(logits), np.asarray(labels)[:, None].astype(np.int64), axis=1)[:, 0]


def mutual_information(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Information:
    """Mutual information of two labellings of the same images, integers (N,) each, once over the whole set.

    Miller and Madow's correction (Miller 1955) adds (cells of `first` + cells of `second` - cells of both - 1) / (2 N),
    counting cells that occur. The interval is a bootstrap of the contingency table.
    """
    count = len(first)
    if count == 0:
        return Information(np.nan, NOTHING)
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    cells, counts = np.unique(row * len(columns) + column, return_counts=True)
    row_of, column_of = cells // len(columns), cells % len(columns)
    resampled = np.random.default_rng([6, seed, count]).multinomial(count, counts / count, RESAMPLES)
    tables = np.concatenate([counts[None], resampled]).astype(float)
    row_sums = tables @ np.eye(len(rows))[row_of]
    column_sums = tables @ np.eye(len(columns))[column_of]
    plug_in = (_x_log_x(tables) - _x_log_x(row_sums) - _x_log_x(column_sums)) / count + np.log(count)
    occurring = [(sums > 0).sum(axis=1) for sums in (row_sums, column_sums, tables)]
    corrected = plug_in + (occurring[0] + occurring[1] - occurring[2] - 1) / (2 * count)
    return Information(max(0.0, float(plug_in[0])), _recentred(max(0.0, float(corrected[0])), corrected[1:]))


def _x_log_x(counts: np.ndarray) -> np.ndarray:
    """Sums over the last axis of c ln c, 0 for c = 0."""
    return (counts * np.log(np.maximum(counts, 1))).sum(axis=-1)


def calibration(logits: np.ndarray, labels: np.ndarray, bins: int = BINS, seed: int = 0) -> Calibration:
    """Expected calibration error (Naeini et al. 2015): |accuracy - mean confidence| over bins of equal width.

    logits (N, C). Weighted, bins count by their images; unweighted, as Guo et al. 2025 publish it, every bin that holds
    an image counts alike, so that a few images may decide it. Both are at least 0 and so biased upwards by chance,
    about sqrt(bins / N) / 2 for a calibrated predictor.
    """
    if len(labels) == 0:
        return Calibration(NOTHING, NOTHING)
    log_p = log_probabilities(logits)
    chosen, confidence = log_p.argmax(axis=1), np.exp(log_p.max(axis=1))
    member = np.eye(bins)[np.minimum((confidence * bins).astype(int), bins - 1)]
    columns = np.concatenate([member, member * ((chosen == labels) - confidence)[:, None]], axis=1)

    def errors(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        share, excess = means[:, :bins], np.abs(means[:, bins:])
        rates = np.divide(excess, share, out=np.zeros_like(excess), where=share > 0)
        return excess.sum(axis=1), rates.sum(axis=1) / (share > 0).sum(axis=1)

    measured, resampled = errors(columns.mean(axis=0)[None]), errors(bootstrap_means(columns, seed))
    weighted, unweighted = (_recentred(float(one[0]), again) for one, again in zip(measured, resampled, strict=True))
    return Calibration(weighted, unweighted)


def generalisation_gap(training_hits: np.ndarray, validation_hits: np.ndarray) -> Estimate:
    """Training minus validation accuracy, from right or wrong, bool (n,) and (N,), on the same view; Newcombe's
    interval."""
    if min(len(training_hits), len(validation_hits)) == 0:
        return NOTHING
    counts = (np.count_nonzero(training_hits), len(training_hits), np.count_nonzero(validation_hits))
    low, high = newcombe(*counts, len(validation_hits))
    return Estimate(float(np.mean(training_hits) - np.mean(validation_hits)), float(low), float(high))


def affinity(augmented_hits: np.ndarray, clean_hits: np.ndarray, seed: int = 0) -> Affinity:
    """How little an augmentation moves the data, to a model trained on clean images (Gontijo-Lopes et al. 2021).

    Right or wrong for the same N validation images, augmented and clean: bool (N,), or (N, views), averaged over views.
    They define it as the difference, Guo et al. 2025 as the ratio. Smaller is a stronger augmentation. The interval
    resamples images, both of each at once. The ratio is NaN where no clean image is right.
    """
    shares = [
        np.asarray(hits, dtype=float).reshape(len(hits), -1).mean(axis=1) for hits in (augmented_hits, clean_hits)
    ]
    pair = np.stack(shares, axis=1)
    moved, clean = pair.mean(axis=0)
    resampled = bootstrap_means(pair, seed)
    difference = _percentiles(float(moved - clean), resampled[:, 0] - resampled[:, 1])
    if clean == 0:
        return Affinity(NOTHING, difference)
    usable = resampled[resampled[:, 1] > 0]
    return Affinity(_percentiles(float(moved / clean), usable[:, 0] / usable[:, 1]), difference)


def linear_cka(first: np.ndarray, second: np.ndarray, debiased: bool = True) -> Estimate:
    """Linear centred kernel alignment of features of the same images, (N, D) and (N, E), at least 80 images.

    Biased: Kornblith et al. 2019, in 0..1, and near 1 whatever the features once D and E exceed N. Debiased: the same
    ratio of the unbiased HSIC (Song et al. 2012; Nguyen et al. 2021), about 0 for unrelated features, at most 1. All
    from sums over images of products of features: no N x N matrix. The interval is a jackknife over 20 blocks of
    images (a resample would repeat images, whose likeness to themselves it would count); end at 1. NaN for features
    that do not vary and for fewer images.
    """
    if len(first) < SMALLEST_FOR_CKA:
        return NOTHING
    x, y = (np.asarray(one, dtype=np.float64).reshape(len(one), -1) for one in (first, second))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    blocks = np.arange(len(x)) % BLOCKS  # interleaved: sorted classes must not fall into one block
    alignments = []
    products = [_Products.of_blocks(*pair, blocks) for pair in ((x, y), (x, x), (y, y))]
    for left_out in (None, *range(BLOCKS)):
        cross, own, other = (one.hsic(left_out, debiased) for one in products)
        scale = own * other if min(own, other) > 0 else np.nan
        alignments.append(cross / np.sqrt(scale))
    value, without = alignments[0], np.array(alignments[1:])
    if np.isnan(alignments).any():
        return NOTHING
    half = stats.t.ppf((1 + LEVEL) / 2, BLOCKS - 1) * np.sqrt((BLOCKS - 1) * without.var())
    return Estimate(float(value), float(value - half), float(min(1.0, value + half)))


@dataclass(frozen=True)
class _Products:
    """Sums over the images of each block, (BLOCKS, ...), that give the HSIC of any set of whole blocks.

    With k, l the squared lengths of the rows of x and y: x'y, sum x, sum y, x'l, y'k, and (count, sum k, sum l,
    sum kl).
    """

    cross: np.ndarray
    x: np.ndarray
    y: np.ndarray
    xl: np.ndarray
    yk: np.ndarray
    scalars: np.ndarray

    @staticmethod
    def of_blocks(x: np.ndarray, y: np.ndarray, blocks: np.ndarray) -> "_Products":
        sums = []
        for block in range(BLOCKS):
            a, b = x[blocks == block], y[blocks == block]
            k, m = (a**2).sum(axis=1), (b**2).sum(axis=1)
            sums.append((a.T @ b, a.sum(axis=0), b.sum(axis=0), a.T @ m, b.T @ k, (len(a), k.sum(), m.sum(), k @ m)))
        return _Products(*(np.array(one, dtype=float) for one in zip(*sums, strict=True)))

    def hsic(self, left_out: int | None, debiased: bool) -> float:
        """HSIC without a block, up to a factor of the number of images that cancels in the alignment."""
        cross, x, y, xl, yk, scalars = (
            one.sum(axis=0) - (0 if left_out is None else one[left_out])
            for one in (self.cross, self.x, self.y, self.xl, self.yk, self.scalars)
        )
        n, k, m, km = scalars
        if not debiased:
            return float(((cross - np.outer(x, y) / n) ** 2).sum())
        trace = (cross**2).sum() - km
        totals = (x @ x - k) * (y @ y - m)
        mixed = x @ cross @ y - x @ xl - y @ yk + km
        return float(trace + totals / ((n - 1) * (n - 2)) - 2 * mixed / (n - 2))


def class_groups(training_counts: np.ndarray) -> dict[str, np.ndarray]:
    """Classes of `head`, `middle` and `tail` by their number of training images (C,), see `head_middle_tail`.

    Empty for fewer than three classes and where all classes are alike: such a set has no tail.
    """
    counts = np.asarray(training_counts)
    if len(counts) < len(GROUPS) or counts.min() == counts.max():
        return {}
    group = head_middle_tail(counts)
    return {name: np.flatnonzero(group == name) for name in GROUPS if name in group}


def summary(
    student: np.ndarray,
    labels: np.ndarray,
    teachers: np.ndarray | None = None,
    training_hits: np.ndarray | None = None,
    student_features: np.ndarray | None = None,
    teacher_features: list[np.ndarray] | None = None,
    training_counts: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures of one student (or teacher) on one view of the validation images, ready for JSON.

    student (N, C), teachers (M, N, C) logits; training_hits (n,) right or wrong on training images of the same view;
    features (N, D) of the student and of each teacher; training_counts (C,) images of each class. What is not given is
    not measured. Returns flat keys `x`, `x_low`, `x_high`, None where undefined, and under "classes" (a list by class)
    and "groups" (head, middle, tail; only for long-tailed counts) the same for accuracy, agreement and kl there.

    Keys: accuracy, nll, entropy, ece_weighted, ece_unweighted, gap; of the teachers' mean probabilities
    ensemble_accuracy, ensemble_nll, ensemble_entropy, agreement, agreement_teacher_right, agreement_teacher_wrong, kl,
    mutual_information(_plug_in); of the mean of their logits logits_agreement, logits_kl; as the mean over single
    teachers single_agreement, single_kl, single_mutual_information (interval: mean of the teachers' ends);
    cka and cka_biased likewise.
    """
    labels = np.asarray(labels)
    hits = student.argmax(axis=1) == labels
    errors = calibration(student, labels, seed=seed)
    found = {
        "accuracy": proportion(hits),
        "nll": mean_estimate(negative_log_likelihood(student, labels), seed),
        "entropy": mean_estimate(entropy(student), seed),
        "ece_weighted": errors.weighted,
        "ece_unweighted": errors.unweighted,
    }
    if training_hits is not None:
        found["gap"] = generalisation_gap(training_hits, hits)
    same = kl = None
    plain: dict[str, float | None] = {}
    if teachers is not None:
        together, averaged = ensemble(teachers), ensemble(teachers, "logits")
        same, kl = student.argmax(axis=1) == together.argmax(axis=1), divergence(together, student)
        chosen = student.argmax(axis=1)
        information = mutual_information(chosen, together.argmax(axis=1), seed)
        plain["mutual_information_plug_in"] = _plain(information.plug_in)
        found |= {
            "ensemble_accuracy": proportion(together.argmax(axis=1) == labels),
            "ensemble_nll": mean_estimate(negative_log_likelihood(together, labels), seed),
            "ensemble_entropy": mean_estimate(entropy(together), seed),
            **fidelity(student, teachers, labels, seed),
            "logits_agreement": agreement(student, averaged, labels).everywhere,
            "logits_kl": mean_estimate(divergence(averaged, student), seed),
            "mutual_information": information.corrected,
            "single_agreement": mean_estimate(
                np.mean([chosen == teacher.argmax(axis=1) for teacher in teachers], axis=0), seed
            ),
            "single_kl": mean_estimate(np.mean([divergence(teacher, student) for teacher in teachers], axis=0), seed),
            "single_mutual_information": _mean_of(
                [mutual_information(chosen, teacher.argmax(axis=1), seed).corrected for teacher in teachers]
            ),
        }
    if student_features is not None and teacher_features:
        for name, debiased in (("cka", True), ("cka_biased", False)):
            found[name] = _mean_of([linear_cka(student_features, one, debiased) for one in teacher_features])

    def there(members: np.ndarray) -> dict[str, float | None]:
        part = {"accuracy": proportion(hits[members])}
        if same is not None and kl is not None:
            part |= {"agreement": proportion(same[members]), "kl": mean_estimate(kl[members], seed)}
        return {"images": float(np.count_nonzero(members))} | flatten(part)

    groups = {} if training_counts is None else class_groups(training_counts)
    return (
        flatten(found)
        | plain
        | {
            "classes": [there(labels == one) for one in range(student.shape[1])],
            "groups": {name: there(np.isin(labels, classes)) for name, classes in groups.items()},
        }
    )


def _mean_of(estimates: list[Estimate]) -> Estimate:
    return Estimate(*np.mean([(one.value, one.low, one.high) for one in estimates], axis=0).tolist())


def flatten(estimates: dict[str, Estimate]) -> dict[str, float | None]:
    """Estimates as keys `x`, `x_low`, `x_high` of plain numbers, None for NaN: fit for JSON and for tables."""
    flat: dict[str, float | None] = {}
    for name, one in estimates.items():
        flat |= {name: _plain(one.value), f"{name}_low": _plain(one.low), f"{name}_high": _plain(one.high)}
    return flat


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
