"""How varied a set of teachers is, and which of them predict best together, in words and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.words import listed
from workflow_scripts.data.subsets import first_half
from workflow_scripts.distillation.estimates import Estimate, mean_estimate, proportion
from workflow_scripts.distillation.measures import log_probabilities

MOST_FOR_ALL_SUBSETS = 8  # teachers; of more, subsets grow one by one
VALUES_AT_A_TIME = 4_000_000
SIMILAR, DIFFERENT = 0.6, 0.3  # chance-corrected IoU; our words for it, not a published scale


@dataclass(frozen=True)
class Choice:
    """The teachers that predict best together, judged on images that did not choose them.

    members: indices in ascending order; single: the best one. accuracy, nll (negative log-likelihood, nats): of the
    mean of the members' probabilities; everyone: of all teachers; gain: accuracy of the members minus that of the
    single best, on the same images. exhaustive: whether all subsets were tried.
    """

    members: tuple[int, ...]
    single: int
    accuracy: Estimate
    nll: Estimate
    everyone: Estimate
    gain: Estimate
    exhaustive: bool


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


def choose_subset(logits: np.ndarray, labels: np.ndarray, seed: int = 0, groups: np.ndarray | None = None) -> Choice:
    """Choose teachers, logits (M, N, C) on validation images with labels (N,), by the likelihood of their mean.

    Every other image chooses, those between judge; of groups (N,), such as patients, every other group. Up to eight
    teachers, all subsets are tried; of more, the one that helps most is added again and again (Caruana et al. 2004).
    Chosen is the smallest subset whose negative log-likelihood is within one standard error of the best one's (Breiman
    et al. 1984): what more teachers add beyond it cannot be told from chance. Intervals are over images. Raises
    InputError if all images are of one group.
    """
    labels = np.asarray(labels)
    choosing = first_half(len(labels), groups)
    judging = ~choosing
    if len(labels) > 1 and not judging.any():
        raise InputError(
            f"distillation: all {len(labels)} validation images are of one group, so that none can judge teachers that "
            "others have chosen; hold out more groups (`held_out`)"
        )
    probabilities = np.exp(log_probabilities(logits))
    true = probabilities[:, np.arange(len(labels)), labels]
    exhaustive = len(logits) <= MOST_FOR_ALL_SUBSETS
    subsets = _all_subsets(len(logits)) if exhaustive else _growing_subsets(true[:, choosing])
    mixing = np.array([[(teacher in subset) / len(subset) for teacher in range(len(logits))] for subset in subsets])
    losses = -np.log(np.maximum(mixing @ true[:, choosing], np.finfo(float).tiny))
    sizes, nll = np.array([len(subset) for subset in subsets]), losses.mean(axis=1)
    excess = losses - losses[nll.argmin()]
    errors = excess.std(axis=1, ddof=1) / np.sqrt(excess.shape[1]) if excess.shape[1] > 1 else np.inf
    enough = excess.mean(axis=1) <= errors
    chosen = np.lexsort((nll, np.where(enough, sizes, np.inf)))[0]
    single = int(np.where(sizes == 1, nll, np.inf).argmin())
    rows = [int(chosen), single, int(sizes.argmax())]
    judged = -np.log(np.maximum(mixing[rows[0]] @ true[:, judging], np.finfo(float).tiny))
    hits = _hits(mixing[rows], probabilities[:, judging], labels[judging])
    return Choice(
        subsets[rows[0]],
        subsets[single][0],
        proportion(hits[0]),
        mean_estimate(judged, seed),
        proportion(hits[2]),
        mean_estimate(hits[0].astype(float) - hits[1], seed),
        exhaustive,
    )


def _all_subsets(count: int) -> list[tuple[int, ...]]:
    return [subset for size in range(1, count + 1) for subset in combinations(range(count), size)]


def _growing_subsets(true: np.ndarray) -> list[tuple[int, ...]]:
    """All single teachers, and each subset on the greedy way to all; true (M, N): probabilities of the labels."""
    tiny, total = np.finfo(float).tiny, np.zeros(true.shape[1])
    members: list[int] = []
    subsets: list[tuple[int, ...]] = [(teacher,) for teacher in range(len(true))]
    while len(members) < len(true):
        rest = [teacher for teacher in range(len(true)) if teacher not in members]
        likelihood = np.log(np.maximum(total + true[rest], tiny)).mean(axis=1)
        members.append(rest[int(likelihood.argmax())])
        total = total + true[members[-1]]
        if len(members) > 1:
            subsets.append(tuple(sorted(members)))
    return subsets


def _hits(mixing: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each subset's mean is right, bool (S, N), a bounded number of images at a time."""
    step = max(1, VALUES_AT_A_TIME // (len(mixing) * probabilities.shape[2]))
    parts = [
        np.tensordot(mixing, probabilities[:, start : start + step], 1).argmax(axis=2) == labels[start : start + step]
        for start in range(0, len(labels), step)
    ]
    return np.concatenate(parts, axis=1)


def diversity(logits: np.ndarray, iou: np.ndarray, corrected_iou: np.ndarray) -> Diversity:
    """Diversity of teachers from logits (M, N, C) and pairwise means of IoU and of corrected IoU, (M, M)."""
    first, second = np.triu_indices(len(logits), 1)
    if len(first) == 0:
        return Diversity(np.nan, np.nan, np.nan, None, None)
    labels = logits.argmax(axis=2)
    order = np.argsort(iou[first, second], kind="stable")
    least, most = ((int(first[pair]), int(second[pair])) for pair in (order[0], order[-1]))
    return Diversity(
        float(iou[first, second].mean()),
        float(corrected_iou[first, second].mean()),
        float((labels[first] != labels[second]).mean()),
        most,
        least,
    )


def describe(names: Sequence[str], varied: Diversity, choice: Choice) -> list[str]:
    """What the teachers named (M,) are worth, in two to four sentences for a person."""
    lines = _of_diversity(names, varied)
    accuracy = choice.accuracy
    reached = f"{_percent(accuracy.value)} of new images right ({_percent(accuracy.low)} to {_percent(accuracy.high)})"
    if len(names) == 1:
        return [*lines, f"{names[0]} labels {reached}."]
    chosen = listed([names[member] for member in choice.members])
    if len(choice.members) == 1:
        lines.append(f"{chosen} alone predicts as well as several teachers together: {reached}.")
    else:
        gain = choice.gain
        lines.append(
            f"{chosen} are the fewest that predict as well as any together: {reached}, {100 * gain.value:+.1f} points "
            f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f}) against {names[choice.single]} alone."
        )
    if len(choice.members) < len(names):
        lines.append(f"The mean of all {len(names)} teachers labels {_percent(choice.everyone.value)} right.")
    return [*lines, "Whether students gain from them, only students can say: `snakemake distillation` trains some."]


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
        most, least = ([names[teacher] for teacher in pair] for pair in (varied.most_alike, varied.least_alike))
        lines.append(f"Most alike are {listed(most)}, least alike {listed(least)}.")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
