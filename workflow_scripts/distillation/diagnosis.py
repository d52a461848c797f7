"""What to distil from: how varied an ensemble of teachers is, and which of them are enough, in words and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from workflow_scripts.distillation.measures import Estimate, log_probabilities, mean_estimate, proportion

MOST_FOR_ALL_SUBSETS = 8  # teachers; of more, subsets grow one by one
VALUES_AT_A_TIME = 4_000_000
SIMILAR, DIFFERENT = 0.6, 0.3  # chance-corrected IoU; our words for it, not a published scale


@dataclass(frozen=True)
class Subset:
    """A set of teachers, indices in ascending order, with the accuracy and negative log-likelihood (nats) of the mean
    of their probabilities; excess_nll: over that of the best subset, its mean and standard error on the same images."""

    members: tuple[int, ...]
    accuracy: float
    nll: float
    excess_nll: float
    excess_error: float


@dataclass(frozen=True)
class Choice:
    """The subset to distil from, the best one, all that were tried (best first), and the chosen one's intervals.

    exhaustive: whether all subsets were tried. gain: accuracy of the chosen subset minus that of the best single
    teacher (by likelihood), on the same images.
    """

    chosen: Subset
    best: Subset
    tried: tuple[Subset, ...]
    exhaustive: bool
    accuracy: Estimate
    nll: Estimate
    gain: Estimate


@dataclass(frozen=True)
class Diversity:
    """How much M teachers differ: mean over pairs of the IoU of their attention, of it corrected for chance, and of the
    share of images that two label differently; the pairs with the most and the least alike attention. NaN and None
    for a single teacher."""

    iou: float
    corrected_iou: float
    disagreement: float
    most_alike: tuple[int, int] | None
    least_alike: tuple[int, int] | None


def choose_subset(logits: np.ndarray, labels: np.ndarray, seed: int = 0) -> Choice:
    """Choose teachers, logits (M, N, C) on validation images with labels (N,), by the likelihood of their mean.

    Up to eight teachers, all subsets are tried; of more, the teacher that helps most is added again and again (Caruana
    et al. 2004). Chosen is the smallest subset whose negative log-likelihood is within one standard error of the best
    one's, both on the same images (Breiman et al. 1984): what more teachers add beyond it cannot be told from chance.
    The numbers are of the images that chose, so slightly favourable; intervals are over images.
    """
    labels = np.asarray(labels)
    probabilities = np.exp(log_probabilities(logits))
    true = probabilities[:, np.arange(len(labels)), labels]
    exhaustive = len(logits) <= MOST_FOR_ALL_SUBSETS
    subsets = _all_subsets(len(logits)) if exhaustive else _growing_subsets(true)
    mixing = np.array([[(one in subset) / len(subset) for one in range(len(logits))] for subset in subsets])
    losses = -np.log(np.maximum(mixing @ true, np.finfo(float).tiny))
    hits = _hits(mixing, probabilities, labels)
    best = int(losses.mean(axis=1).argmin())
    excess = losses - losses[best]
    errors = excess.std(axis=1, ddof=1) / np.sqrt(len(labels)) if len(labels) > 1 else np.full(len(subsets), np.inf)
    found = [
        Subset(subset, float(hit.mean()), float(loss.mean()), float(more.mean()), float(error))
        for subset, hit, loss, more, error in zip(subsets, hits, losses, excess, errors, strict=True)
    ]
    enough = [one for one in range(len(found)) if found[one].excess_nll <= found[one].excess_error or one == best]
    chosen = min(enough, key=lambda one: (len(subsets[one]), found[one].nll))
    single = min((one for one in range(len(found)) if len(subsets[one]) == 1), key=lambda one: found[one].nll)
    return Choice(
        found[chosen],
        found[best],
        tuple(sorted(found, key=lambda one: (one.nll, one.members))),
        exhaustive,
        proportion(hits[chosen]),
        mean_estimate(losses[chosen], seed),
        mean_estimate(hits[chosen].astype(float) - hits[single], seed),
    )


def _all_subsets(count: int) -> list[tuple[int, ...]]:
    return [subset for size in range(1, count + 1) for subset in combinations(range(count), size)]


def _growing_subsets(true: np.ndarray) -> list[tuple[int, ...]]:
    """All single teachers, and each subset on the greedy way to all; true (M, N): probabilities of the labels."""
    tiny, total = np.finfo(float).tiny, np.zeros(true.shape[1])
    members: list[int] = []
    subsets: list[tuple[int, ...]] = [(one,) for one in range(len(true))]
    while len(members) < len(true):
        rest = [one for one in range(len(true)) if one not in members]
        likelihood = np.log(np.maximum(total + true[rest], tiny)).mean(axis=1)
        members.append(rest[int(likelihood.argmax())])
        total = total + true[members[-1]]
        if len(members) > 1:
            subsets.append(tuple(sorted(members)))
    return subsets


def _hits(mixing: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each subset's mean is right, bool (S, N), a bounded number of images at a time."""
    teachers, images, classes = probabilities.shape
    step = max(1, VALUES_AT_A_TIME // (len(mixing) * classes))
    parts = []
    for start in range(0, images, step):
        block = probabilities[:, start : start + step]
        together = (mixing @ block.reshape(teachers, -1)).reshape(len(mixing), -1, classes)
        parts.append(together.argmax(axis=2) == labels[start : start + step])
    return np.concatenate(parts, axis=1)


def diversity(logits: np.ndarray, iou: np.ndarray, corrected_iou: np.ndarray) -> Diversity:
    """Diversity of teachers from logits (M, N, C) and pairwise means of IoU and of corrected IoU, (M, M)."""
    first, second = np.triu_indices(len(logits), 1)
    if len(first) == 0:
        return Diversity(np.nan, np.nan, np.nan, None, None)
    labels = logits.argmax(axis=2)
    order = np.argsort(iou[first, second], kind="stable")
    least, most = ((int(first[one]), int(second[one])) for one in (order[0], order[-1]))
    return Diversity(
        float(iou[first, second].mean()),
        float(corrected_iou[first, second].mean()),
        float(np.mean([(labels[i] != labels[j]).mean() for i, j in zip(first, second, strict=True)])),
        most,
        least,
    )


def describe(
    names: Sequence[str],
    varied: Diversity,
    choice: Choice,
    augmentations: Sequence[str] | None = None,
) -> list[str]:
    """What to do and why, in three to seven sentences for a person.

    names (M,) of the teachers; augmentations (M,): what each was trained with, where known, adds their comparison.
    """
    singles = {one.members[0]: one for one in choice.tried if len(one.members) == 1}
    everyone = next(one for one in choice.tried if len(one.members) == len(names))
    best = min(singles.values(), key=lambda one: one.nll)
    lines = _of_diversity(names, varied)
    lines.append(
        f"The best single teacher is {names[best.members[0]]}: {_percent(best.accuracy)} of the validation images "
        f"right, negative log-likelihood {best.nll:.3f}."
    )
    if len(names) == 1:
        return [*lines, f"Distil from {names[0]}: there is no other. More teachers, of other seeds, may help."]
    chosen = choice.chosen
    lines.append(
        f"Distil from {_listed(names, chosen.members)}: {_percent(choice.accuracy.value)} right "
        f"({_percent(choice.accuracy.low)} to {_percent(choice.accuracy.high)}), negative log-likelihood "
        f"{choice.nll.value:.3f} ({choice.nll.low:.3f} to {choice.nll.high:.3f})."
    )
    if len(chosen.members) > 1:
        lines.append(
            f"Against the best single teacher that is {100 * choice.gain.value:+.2f} percentage points of accuracy "
            f"({100 * choice.gain.low:+.2f} to {100 * choice.gain.high:+.2f})."
        )
    if len(chosen.members) < len(names):
        lines.append(
            f"All {len(names)} teachers together reach {_percent(everyone.accuracy)} and {everyone.nll:.3f}; "
            + (
                "the others cost more than they add."
                if everyone.nll > chosen.nll
                else "what the others add is within the uncertainty."
            )
        )
    if augmentations is not None and len(set(augmentations)) > 1:
        lines.append(_of_augmentations(augmentations, singles))
    return lines


def _of_diversity(names: Sequence[str], varied: Diversity) -> list[str]:
    if varied.most_alike is None or varied.least_alike is None:
        return ["There is one teacher, so nothing to compare its attention with."]
    if np.isnan(varied.corrected_iou):
        return ["The teachers' masks are empty or full, so their attention cannot be compared."]
    if varied.corrected_iou >= SIMILAR:
        words = "look at much the same places"
    elif varied.corrected_iou >= DIFFERENT:
        words = "look at partly different places"
    else:
        words = "look at largely different places"
    lines = [
        f"The teachers {words}: the masks of two overlap with IoU {varied.iou:.2f} on average, "
        f"{varied.corrected_iou:.2f} corrected for chance (0 by chance, 1 the same), and two disagree on "
        f"{_percent(varied.disagreement)} of the images."
    ]
    if len(names) > 2:
        lines.append(
            f"Most alike are {_listed(names, varied.most_alike)}, least alike {_listed(names, varied.least_alike)}."
        )
    return lines


def _of_augmentations(augmentations: Sequence[str], singles: dict[int, Subset]) -> str:
    """Which augmentation made the best single teachers, by mean likelihood."""
    means = {
        kind: np.mean(
            [(singles[one].nll, singles[one].accuracy) for one in singles if augmentations[one] == kind], axis=0
        )
        for kind in dict.fromkeys(augmentations)
    }
    ranked = sorted(means, key=lambda kind: float(means[kind][0]))
    numbers = "; ".join(f"{kind} {means[kind][0]:.3f} and {_percent(float(means[kind][1]))}" for kind in ranked)
    return (
        f"The augmentation {ranked[0]} made the best single teachers; mean negative log-likelihood and accuracy: "
        f"{numbers}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _listed(names: Sequence[str], members: tuple[int, ...]) -> str:
    chosen = [names[one] for one in members]
    return chosen[0] if len(chosen) == 1 else f"{', '.join(chosen[:-1])} and {chosen[-1]}"
