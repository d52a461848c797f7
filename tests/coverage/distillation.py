"""Distillation: intervals over seeds and over images, chance-corrected measures, and the choice of teachers."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from tests.coverage.simulate import Draw, Simulation
from workflow_scripts.distillation.calibration import calibration
from workflow_scripts.distillation.choice import choose_students
from workflow_scripts.distillation.cka import linear_cka
from workflow_scripts.distillation.estimates import mean_estimate
from workflow_scripts.distillation.information import mutual_information
from workflow_scripts.distillation.measures import affinity
from workflow_scripts.distillation.trends import (
    NEAR_ZERO,
    PRIMARY,
    answer_claims,
    correlation,
    factor_effects,
    over_seeds,
)

STUDIES = 50  # in one table, as data sets, since a table takes as long as a study


def students(
    random: np.random.Generator, seeds: int, within: float, effect: float = 0.0, shared: bool = False, cv: float = 0.0
) -> pd.DataFrame:
    """Students of four ensembles and two views in each of STUDIES data sets. within: correlation of an ensemble's
    students. shared: neighbouring ensembles share a teacher. cv: how much the effect differs between seeds, as a share
    of the scatter."""
    ensembles, views = 4, 2
    teachers = random.normal(size=(STUDIES, seeds, ensembles + 1))
    own = (teachers[..., 1:] + teachers[..., :-1]) / np.sqrt(2) if shared else teachers[..., 1:]
    slopes = effect + cv * 0.02 * random.normal(size=(STUDIES, seeds, 1))
    noise = random.normal(size=(STUDIES, seeds, ensembles, views))
    values = 0.02 * (np.sqrt(within) * own[..., None] + np.sqrt(1 - within) * noise)
    values = values + 0.05 * random.normal(size=(STUDIES, seeds, 1, 1)) + (slopes * np.arange(ensembles) / 3)[..., None]
    study, seed, rung, view = (part.ravel() for part in np.indices(values.shape))
    frame = pd.DataFrame({"dataset": study, "seed": seed, "ensemble": rung, "strength": rung, "view_strength": view})
    return frame.assign(value=values.ravel())


def _effect(seeds: int, within: float, factor: str, **design: bool | float) -> Callable:
    """Whether the interval of an effect holds it, and whether its test rejects where there is none."""

    def draw(random: np.random.Generator) -> dict[str, list[bool]]:
        answers: dict[str, list[bool]] = {"interval": [], "p-value": []}
        for kind, truth in (("interval", 0.03), ("p-value", 0.0)):
            effects = factor_effects(students(random, seeds, within, truth, **design), "value")  # type: ignore[arg-type]
            expected = truth if factor == "strength" else 0.0
            for values in effects[factor].to_numpy().reshape(STUDIES, seeds):
                estimate = over_seeds(values, np.zeros(seeds))
                held, rejected = estimate.low <= expected <= estimate.high, estimate.p_value <= 0.05
                answers[kind].append(bool(held if kind == "interval" else rejected))
        return answers

    return draw


def _trend(seeds: int, shared: bool) -> Draw:
    """Two measures of the same ensembles that have nothing to do with each other."""

    def draw(random: np.random.Generator) -> list[bool]:
        table = students(random, seeds, 0.8, shared=shared)
        table["other"] = students(random, seeds, 0.8, shared=shared)["value"]
        return [correlation(own, "value", "other")[1].p_value <= 0.05 for _, own in table.groupby("dataset")]

    return draw


def _claims(seeds: int, within: float, effect: float) -> Draw:
    """Whether any of the three primary claims gets an answer that is wrong: no answer is none."""
    right = {"as published"} if effect < 0 else {"bounded near zero"}

    def draw(random: np.random.Generator) -> list[bool]:
        table = students(random, seeds, within, effect)
        for measure in PRIMARY:
            table[measure] = students(random, seeds, within, effect)["value"]
        answers = []
        for _, own in table[table["dataset"] < STUDIES // 5].groupby("dataset"):
            said = {claim.answer for claim in answer_claims(own)} - {"not enough data"}
            answers.append(bool(said - right))
        return answers

    return draw


def _choice(ensembles: int, seeds: int, images: int, best: float, test: bool) -> Draw:
    """Eight ensembles and two kinds without teachers; networks scatter by a point, images differ in difficulty."""
    gains = np.concatenate([np.zeros(ensembles - 1), [best], np.zeros(2)])

    def draw(random: np.random.Generator) -> bool | None:
        kinds = ensembles + 2
        easiness = random.normal(1.0, 1.2, images) + 0.3 * random.normal(size=(kinds, 1, images))
        runs = 4 * gains[:, None, None] + 0.04 * random.normal(size=(kinds, seeds, 1))
        hits = easiness + runs + 0.5 * random.normal(size=(kinds, seeds, images)) > 0
        choice = choose_students(hits[:ensembles], hits[ensembles:])
        if test:
            return choice.gain.low > 0
        # The gain of what the other seeds choose: of the best, where it stands out.
        if choice.taught != ensembles - 1 or not choice.steady:
            return None
        scale = np.sqrt(1.2**2 + 0.3**2 + 0.04**2 + 0.5**2)
        normal = np.random.default_rng(0).normal(size=200_000)
        truth = ((1 + 4 * best) / scale > normal).mean() - (1 / scale > normal).mean()
        return bool(choice.gain.low <= truth <= choice.gain.high)

    return draw


def _information(classes: int, images: int, same: float) -> Draw:
    """Labels that are the same for a share of the images; the truth is the mean of as many images."""

    def labels(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        first, other = random.choice(classes, (2, images), p=shares)
        return first, np.where(random.random(images) < same, first, other)

    def value(random: np.random.Generator) -> float:
        return mutual_information(*labels(random)).adjusted.value

    setting = np.random.default_rng([classes, images])
    shares = setting.dirichlet(np.full(classes, 20.0))
    truth: list[float] = []

    def draw(random: np.random.Generator) -> bool | None:
        if not truth:
            truth.append(0.0 if same == 0 else float(np.mean([value(setting) for _ in range(300)])))
        estimate = mutual_information(*labels(random)).adjusted
        return not estimate.low <= truth[0] <= estimate.high if same == 0 else estimate.low <= truth[0] <= estimate.high

    return draw


BINS = 10
CALIBRATION = {
    "perfect": lambda confidence: confidence,
    "0.5 points over": lambda confidence: confidence - 0.005,
    "3 points over": lambda confidence: confidence - 0.03,
    "10 points over": lambda confidence: confidence - 0.1,
    "in one bin": lambda confidence: np.where((confidence > 0.6) & (confidence < 0.7), confidence - 0.15, confidence),
}


def _calibration(kind: str, images: int, classes: int) -> Draw:
    def drawn(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        logits = random.normal(0, 2, (count, classes))
        confidence = np.exp(logits.max(axis=1)) / np.exp(logits).sum(axis=1)
        return logits, np.clip(confidence, 0, 1)

    _, confidence = drawn(np.random.default_rng(classes), 100_000)
    gap = np.clip(CALIBRATION[kind](confidence), 0, 1) - confidence
    member = np.minimum((confidence * BINS).astype(int), BINS - 1)
    truth = float(np.abs(np.bincount(member, gap, BINS)).sum()) / len(gap)

    def draw(random: np.random.Generator) -> bool | None:
        logits, confidence = drawn(random, images)
        right = random.random(images) < np.clip(CALIBRATION[kind](confidence), 0, 1)
        labels = np.where(right, logits.argmax(axis=1), logits.argmin(axis=1))
        estimate = calibration(logits, labels, BINS, int(random.integers(2**31))).weighted.corrected
        return estimate.low <= truth + 1e-12 and truth <= estimate.high

    return draw


def _divergence(images: int) -> Draw:
    """The mean of a skewed value for each image, as divergences are."""

    def draw(random: np.random.Generator) -> bool | None:
        estimate = mean_estimate(random.gamma(0.5, 1.0, images), int(random.integers(2**31)))
        return estimate.low <= 0.5 <= estimate.high

    return draw


def _affinity(images: int) -> Draw:
    def draw(random: np.random.Generator) -> bool | None:
        clean = random.random(images) < 0.8
        moved = np.where(clean, random.random(images) < 0.75, random.random(images) < 0.2)
        estimate = affinity(moved, clean, int(random.integers(2**31))).ratio
        return estimate.low <= 0.8 <= estimate.high

    return draw


def _alignment(images: int) -> Draw:
    mix = np.random.default_rng(14).normal(size=(4, 6))
    covariance = mix @ mix.T
    own = np.eye(6) + mix.T @ mix
    truth = np.trace(covariance) / np.sqrt(4 * (own**2).sum())

    def draw(random: np.random.Generator) -> bool | None:
        x = random.normal(size=(images, 4))
        estimate = linear_cka(x, x @ mix + random.normal(size=(images, 6)))
        return estimate.low <= truth <= estimate.high

    return draw


EFFECTS = {
    (factor, seeds, within): _effect(seeds, within, factor)
    for factor in ("strength", "view") for seeds in (3, 5, 8) for within in (0.0, 0.5, 0.8, 1.0)
    if (factor, within) != ("view", 1.0)
}  # fmt: skip
SIMULATIONS = [
    *(
        Simulation(f"distillation effect of {factor} {kind} {seeds} {within}", f"an effect of the {factor}", kind,
                   draw, 20, {"seeds": seeds, "correlation within an ensemble": within}, kind)
        for kind in ("interval", "p-value") for (factor, seeds, within), draw in EFFECTS.items()
    ),
    *(
        Simulation(f"distillation effect, {name} {seeds}", "an effect, awkward designs", "interval",
                   _effect(seeds, 0.5, "strength", **design), 20, {"seeds": seeds, "design": name}, "interval")
        for name, design in (("ensembles share teachers", {"shared": True}), ("effects differ by seed", {"cv": 1.0}))
        for seeds in (3, 5)
    ),
    *(
        Simulation(f"distillation trend {seeds} {shared}", "an exploratory trend", "p-value", _trend(seeds, shared),
                   20, {"seeds": seeds, "ensembles share teachers": shared})
        for seeds in (3, 5, 8) for shared in (False, True)
    ),
    *(
        Simulation(f"distillation claims {seeds} {within} {effect}",
                   "any of the three claims is answered wrongly (no answer is not wrong)", "decision",
                   _claims(seeds, within, effect), 25,
                   {"seeds": seeds, "correlation within an ensemble": within, "effect": effect})
        for seeds in (3, 5, 8) for within in (0.0, 0.8) for effect in (0.0, -1.02 * NEAR_ZERO)
    ),
    *(
        Simulation(f"distillation choice {ensembles} {seeds} {images}", "a best ensemble that is none", "decision",
                   _choice(ensembles, seeds, images, 0.0, True), 600,
                   {"ensembles": ensembles, "seeds": seeds, "images": images})
        for ensembles in (3, 8) for seeds in (3, 5, 8) for images in (300, 2000)
    ),
    *(
        Simulation(f"distillation gain {seeds} {images}", "the gain of the best of eight ensembles", "interval",
                   _choice(8, seeds, images, 0.06, False), 600, {"seeds": seeds, "images": images})
        for seeds in (3, 5, 8) for images in (300, 2000)
    ),
    *(
        Simulation(f"distillation information {classes} {images} {same}",
                   "adjusted mutual information" if same else "independent labels are called dependent",
                   "interval" if same else "decision", _information(classes, images, same), 400,
                   {"classes": classes, "images": images, "same labels": same},
                   reason="counts" if classes**2 > images else "")  # less than an image for each cell of the table
        for classes in (2, 10, 100) for images in (300, 2000, 5000) for same in (0.0, 0.3, 0.8)
    ),
    *(  # each end takes the least favourable way in which an error may spread over the bins
        Simulation(f"distillation calibration {kind} {images} {classes}", "expected calibration error", "interval",
                   _calibration(kind, images, classes), 300, {"error": kind, "images": images, "classes": classes},
                   reason="spread")
        for kind in CALIBRATION for images in (300, 2000, 5000) for classes in (2, 10, 100)
        if kind != "in one bin" or classes == 10
    ),
    *(
        Simulation(f"distillation {name} {images}", claim, "interval", draw(images), 600, {"images": images})
        for name, claim, draw in (
            ("divergence", "a mean over images", _divergence), ("affinity", "affinity", _affinity),
            ("alignment", "linear CKA", _alignment),
        )
        for images in (300, 2000)
    ),
]  # fmt: skip
