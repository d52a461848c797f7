"""The answers of the distillation study in sentences for a person who knows none of its words."""

from collections.abc import Mapping, Sequence

import numpy as np

from workflow_scripts.core.words import listed
from workflow_scripts.distillation.choice import StudentChoice
from workflow_scripts.distillation.trends import FEWEST_SEEDS, MOST_SEEDS, NEAR_ZERO, Claim, Effect

POINTS = 100 * NEAR_ZERO
SEEDS = "`distillation.seeds`"
RUNG_WORDS = {
    "none": "without augmentation",
    "weak": "with weak augmentation",
    "strong": "with strong augmentation",
    "stronger": "with the strongest augmentation",
}
UNTAUGHT = {"alone": "plain training", "smoothed": "label smoothing"}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
# Of each primary measure: what it is; what falls or rises "with stronger augmentation of the teachers".
NOUNS = {
    "iou": "the overlap between the places teachers look at",
    "agreement": "how often students agree with their teachers",
    "gap": "how much students overfit (accuracy on training images minus accuracy on new ones)",
}
CLAUSES = {
    ("iou", -1): "the places teachers look at overlap less",
    ("iou", 1): "the places teachers look at overlap more",
    ("agreement", -1): "students agree with them less often",
    ("agreement", 1): "students agree with them more often",
    ("gap", -1): "students overfit less",
    ("gap", 1): "students overfit more",
}


def headline(claims: Sequence[Claim], strengths: int) -> str:
    """One sentence for all primary claims; strengths: how many strengths of augmentation the ensembles have."""
    if strengths < 2:
        return "All teachers have the same augmentation, so this study cannot tell what augmentation does."
    moved = [
        f"{_clause(claim)}, by {_points(claim.effect)}"
        for claim in claims
        if claim.answer in ("as published", "opposite")
    ]
    still = [NOUNS[claim.measure].split(" (")[0] for claim in claims if claim.answer == "bounded near zero"]
    unknown = [NOUNS[claim.measure].split(" (")[0] for claim in claims if claim.answer == "not enough data"]
    parts = []
    if moved:
        parts.append(f"With stronger augmentation of the teachers, {', and '.join(moved)}.")
    if still:
        parts.append(f"The teachers' augmentation changes {listed(still)} by less than {POINTS:.0f} points.")
    if unknown:
        parts.append(f"Not enough data to say whether stronger augmentation of the teachers changes {listed(unknown)}.")
    return " ".join(parts)


def claim_sentence(claim: Claim, strengths: int, seeds: int) -> str:
    """The answer to one primary claim; seeds: how many the study has."""
    effect, noun = claim.effect, NOUNS[claim.measure]
    if claim.answer == "not enough data":
        needed = _what_is_needed(claim, strengths, seeds)
        return f"Not enough data on {noun}: {needed}"
    if claim.answer == "bounded near zero":
        return (
            f"The teachers' augmentation hardly changes {noun}: {_points(effect)} from the weakest to the strongest, "
            f"less than {POINTS:.0f} points either way."
        )
    verdict = "as" if claim.answer == "as published" else "the opposite of what"
    return (
        f"With stronger augmentation of the teachers, {_clause(claim)}: {_points(effect)} from the weakest to the "
        f"strongest, {verdict} Guo et al. (2024) report."
    )


def _clause(claim: Claim) -> str:
    return CLAUSES[claim.measure, 1 if claim.effect.value > 0 else -1]


def _what_is_needed(claim: Claim, strengths: int, seeds: int) -> str:
    if strengths < 2:
        return "it takes ensembles at two strengths of augmentation or more (`distillation.ensembles`)."
    if np.isnan(claim.effect.value):
        if seeds < FEWEST_SEEDS:
            return f"it takes at least {FEWEST_SEEDS} seeds ({SEEDS}), there {'is' if seeds == 1 else 'are'} {seeds}."
        return "it takes ensembles of two teachers or more (`distillation.ensembles`)."
    if claim.seeds_needed is None:
        return f"training runs scatter so much that more than {MOST_SEEDS} seeds would be needed; train for longer."
    return f"{seeds} seeds leave it open, about {max(claim.seeds_needed, seeds + 1)} would settle it ({SEEDS})."


def choice_sentence(choice: StudentChoice, best: str, untaught: str, seeds: int) -> str:
    """Whether any ensemble beats no teacher; best, untaught: the chosen kinds with and without teachers, in words."""
    gain = choice.gain
    if np.isnan(gain.value):
        return (
            f"Not enough data to say whether any teachers make better students than none: it takes at least "
            f"{FEWEST_SEEDS} seeds ({SEEDS}), there {'is' if seeds == 1 else 'are'} {seeds}."
        )
    numbers = f"{100 * gain.value:+.1f} points of accuracy ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    tail = "" if choice.steady else " Which ensemble is best changes when a seed is left out."
    if gain.low > 0:
        return (
            f"Distil from {best}: against the best students without teachers ({untaught}) that gains {numbers}.{tail}"
        )
    if gain.high < 0:
        return f"Train without teachers ({untaught}): the best with teachers ({best}) is worse, {numbers}.{tail}"
    return (
        f"No ensemble is shown to beat no teacher: the best students with teachers ({best}) differ from the best "
        f"without ({untaught}) by {numbers}.{tail}"
    )


def student_in_words(student: str, ensembles: Mapping[str, Sequence[str]]) -> str:
    """A kind of student, `ensemble.view`, for a person; ensembles: the teachers (`weak-1`) of each."""
    ensemble, view = student.split(".")
    kinds = [teacher.rsplit("-", 1)[0] for teacher in ensembles.get(ensemble, ())]
    parts = [UNTAUGHT[ensemble]] if not kinds else []
    for kind in dict.fromkeys(kinds):
        noun = "teacher" if kinds.count(kind) == 1 else "teachers"
        trained = f"{NUMBERS[kinds.count(kind)]} {noun} trained {RUNG_WORDS.get(kind)}"
        parts.append(trained if kind in RUNG_WORDS else f"the teacher {kind}")
    return f"{listed(parts)}, the student {RUNG_WORDS[view]}"


def _points(effect: Effect) -> str:
    return f"{100 * effect.value:+.1f} points ({100 * effect.low:+.1f} to {100 * effect.high:+.1f})"


def maps_sentence(overlap: Mapping[str, float], start: Effect) -> str:
    """What the published map shows: mean corrected overlap of pairs that share their start, that share all but the
    direction in which the head starts, and that share nothing; start: the first minus the second."""
    same, body, apart = (overlap.get(pairs, np.nan) for pairs in ("same start", "same body", "different starts"))
    numbers = (
        "Maps summed over all classes, as published, overlap (0 by chance, 1 the same) by "
        f"{same:.2f} for two networks with the same initial weights, by {body:.2f} for the same two, with the same "
        f"predictions, had their heads started apart, and by {apart:.2f} for two that share nothing."
    )
    if np.isnan(start.value):
        return f"{numbers} At least {FEWEST_SEEDS} seeds ({SEEDS}) are needed to say more."
    if start.low > 0 or start.high < 0:
        return f"{numbers} So the head's random start alone moves this overlap by {_points(start)}."
    return f"{numbers} Here the head's random start moves this overlap by {_points(start)}: no clear difference."
