"""The estimate of a data set in words and as strict JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workflow_scripts.core.files import plain
from workflow_scripts.core.words import listed
from workflow_scripts.laws.decay import LARGEST_BACKGROUND
from workflow_scripts.laws.size_law import DimensionCurve
from workflow_scripts.laws.trials import PairEstimate
from workflow_scripts.replication.verdicts import DISAGREES


def summarise(
    estimates: Mapping[str, PairEstimate],
    curve: DimensionCurve | None,
    points: list[dict[str, Any]],
    head: dict[str, Any],
) -> dict[str, Any]:
    """Strict JSON of the estimates of one data set; `head` goes first. points: those that `curve` was fitted to."""
    generators = {}
    for name, estimate in estimates.items():
        errors = estimate.predictions().groupby("trial")["error"].median()
        generators[name] = {
            "smallest_safe_size": vars(estimate.safe_size),
            "measured_enough": estimate.enough,
            "reason": estimate.reason,
            "trend": vars(estimate.trend) | {"falls": estimate.trend.falls, "sentence": estimate.trend.sentence()},
            "warnings": estimate.warnings,
            "assumptions": estimate.assumptions,
            "level": estimate.level,
            "rate": estimate.rate,
            "level_from": estimate.level_from,
            "measured": [{"size": size} | vars(excess) for size, excess in estimate.measured.items()],
            "predicted": [
                {"size": float(size), "percentage": middle, "low": low, "high": high}
                for size, (low, middle, high) in zip(estimate.sizes, estimate.predicted.T, strict=True)
            ],
            "trials": estimate.trials.to_dict("records"),
            "median_error_of_trials": {str(trial): float(error) for trial, error in errors.items()},
        }
    dimension = curve and {
        "intercept": curve.intercept,
        "slope": curve.slope,
        "sizes": list(curve.sizes),
        "measured": [{key: point[key] for key in ("size", "dimension", "low", "high")} for point in points],
    }
    return plain({**head, "dimension": dimension, "generators": generators})


def contrary_evidence(
    estimates: Mapping[str, PairEstimate], dataset: str, verdicts: Sequence[Mapping[str, Any]]
) -> dict[str, list[Mapping[str, Any]]]:
    """Of each generator the verdicts that the evidence disagrees, at sizes that the estimate calls safe.

    verdicts: those of the study, as collect_replication writes them.
    """
    contrary = {}
    for name, estimate in estimates.items():
        low = np.inf if estimate.reason else estimate.safe_size.low
        safe = min(low, np.inf if estimate.enough is None else estimate.enough)
        contrary[name] = [
            verdict
            for verdict in verdicts
            if (verdict["generator"], verdict["dataset"], verdict["verdict"]) == (name, dataset, DISAGREES)
            and verdict["size"] >= safe
        ]
    return contrary


def answer(
    estimates: Mapping[str, PairEstimate], dataset: str, wanted: float, verdicts: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """What a person can act on: all in one sentence, two or three lines for each generator, and what to do.

    verdicts: of the study.
    """
    contrary = contrary_evidence(estimates, dataset, verdicts)
    lines = [_in_short(estimates, dataset, wanted, any(contrary.values()))]
    for name, estimate in estimates.items():
        lines.append(f"{name} on {dataset}: {estimate.trend.sentence()}. {_safe(estimate, wanted)}")
        if estimate.enough is not None:
            lines.append(
                f"{name} on {dataset}, as measured: from {estimate.enough:,.0f} training images on at most "
                f"{wanted:g} % of samples were copies (upper bound over training runs, nothing subtracted for chance)."
            )
        lines += [f"Beware: {text}" for text in estimate.warnings[:2]]
        if contrary[name]:
            sizes, largest = listed(f"{verdict['size']:,}" for verdict in contrary[name]), contrary[name][-1]
            said = largest["sentence"][0].lower() + largest["sentence"][1:]
            lines.append(
                f"Beware: not all measures call {name} safe with {sizes} images. With {largest['size']:,}, {said}"
            )
    return [*lines, *_tried(estimates), *_what_to_do(estimates, any(contrary.values()))]


def _in_short(estimates: Mapping[str, PairEstimate], dataset: str, wanted: float, disputed: bool) -> str:
    """For somebody who knows none of this: from which size on copies are rare, by the generator that needs most."""
    closed = {
        name: estimate.safe_size
        for name, estimate in estimates.items()
        if not estimate.reason and np.isfinite(estimate.safe_size.high)
    }
    if not closed:
        return f"Not enough data to say how many images of {dataset} are enough; the lines below say what is missing."
    name, safe = max(closed.items(), key=lambda item: (item[1].size, item[1].high))
    shown = (
        f"From small sets, yes, and less from larger ones. From {safe.size:,.0f} images on (95 % interval "
        f"{safe.low:,.0f} to {safe.high:,.0f}), at most {wanted:g} % of the samples of {name} copy {dataset}, chance "
        "aside"
    )
    others = len(estimates) - len(closed)
    if len(closed) > 1:
        shown += f"; the other {'generator needs' if len(closed) == 2 else 'generators need'} no more"
    if others:
        shown += f"; of {others} more there is not enough data"
    return f"{shown}. Other measures disagree: see below." if disputed else f"{shown}."


def _safe(estimate: PairEstimate, wanted: float) -> str:
    """The safe size by the law, or why there is none."""
    if estimate.reason:
        return f"No law gives a safe size: {estimate.reason}."
    safe = estimate.safe_size
    goal = f"at most {wanted:g} % of copies beyond chance"
    if np.isinf(safe.high):
        return (
            f"For {goal} it takes at least {safe.low:,.0f} training images; no upper end of this size can be named: "
            "measure more sizes where copies become rare."
        )
    return f"Train on {safe.size:,.0f} images or more (95 % interval {safe.low:,.0f} to {safe.high:,.0f}) for {goal}."


def _tried(estimates: Mapping[str, PairEstimate]) -> list[str]:
    """How well sizes were predicted that a prediction had not seen: coverage, errors, and refusals."""
    lines = []
    for trial, known in (("leave_one_out", "all other sizes"), ("one_shot", "the smallest size alone")):
        made = [estimate.predictions(trial) for estimate in estimates.values()]
        inside, errors = (np.concatenate([rows[name].to_numpy(float) for rows in made]) for name in ("inside", "error"))
        asked = sum(int((estimate.trials["trial"] == trial).sum()) for estimate in estimates.values())
        if asked and not len(inside):
            why = next(iter(estimates.values())).trials.set_index("trial").loc[[trial], "reason"].iloc[0]
            lines.append(f"Predicted from {known}: none of {asked} sizes, since {why}.")
        elif asked:
            lines.append(
                f"Predicted from {known}: {int(inside.sum())} of {len(inside)} measured values lie within the "
                f"95 % interval (median error {np.median(errors):.1f} points)"
                + (f"; {asked - len(inside)} predictions were refused." if asked > len(inside) else ".")
            )
    return lines


def _what_to_do(estimates: Mapping[str, PairEstimate], disputed: bool) -> list[str]:
    """How it was measured, and what to do with that, a line each. disputed: whether other measures see copying at
    sizes that are called safe."""
    points = [estimate.points for estimate in estimates.values()]
    sizes = listed(f"{size:,.0f}" for size in np.unique(np.concatenate([part.size for part in points])))
    count = sum(int(part.samples.sum()) for part in points)
    lines = [f"Measured by {count:,} samples of generators that were trained on {sizes} images."]
    known = [estimate.safe_size for estimate in estimates.values() if not estimate.reason]
    closed = [safe.high for safe in known if np.isfinite(safe.high)]
    if disputed:
        return [
            *lines,
            "To do: do not rely on the safe size yet. Look at each sample beside its nearest training image "
            "(results/figures/gallery) at the sizes where the evidence disagrees, and measure larger ones.",
        ]
    if closed and len(closed) == len(estimates):
        return [
            *lines,
            f"To do: train on {max(closed):,.0f} images or more, the upper end of all intervals, before you share "
            "samples; with fewer, look at each sample beside its nearest training image (results/figures/gallery).",
        ]
    if all(np.median(part.background) > LARGEST_BACKGROUND for part in points):
        return [
            *lines,
            "To do: remove repeated images (manifest.json lists exact duplicates), or give a narrower threshold; what "
            "this one counts is no sign of copying.",
        ]
    if not any(part.replicas.any() for part in points):
        return [
            *lines,
            "To do: none of these generators copied anything. That holds for trainings of this length; before you rely "
            "on it, train longer (`steps`), or on fewer images, until some do.",
        ]
    return [
        *lines,
        "To do: add sizes between one at which most samples are copies and one at which none are, and seeds; until "
        "then look at each sample beside its nearest training image (results/figures/gallery).",
    ]
