"""Tests and intervals where held-out images, or training images, come in groups of images that are alike."""

import numpy as np
from scipy import special

from tests.coverage.simulate import Answer, Draw, Simulation, few
from workflow_scripts.audit.copies import copies
from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.metrics.membership import lira
from workflow_scripts.rebalancing.copies import copies_by_class
from workflow_scripts.replication.measures import compare_rates, data_copying, replication

SAMPLES, SHARE = 1000, 0.01
NOISE = 0.1  # of a run's logarithm of distance, beside what an image is in any run


def scattered(random: np.random.Generator, group: np.ndarray, alike: float) -> np.ndarray:
    """Standard normal values (n,) of images, correlated by `alike` within a group, the numbers (n,) of which rise."""
    common = random.standard_normal(int(group.max()) + 1)[group]
    return np.sqrt(alike) * common + np.sqrt(1 - alike) * random.standard_normal(len(group))


def held_out(random: np.random.Generator, images: int, together: int, alike: float) -> Grouped:
    """Distances to the training set, uniform in 0..1."""
    group = np.arange(images) // together
    return Grouped(special.ndtr(scattered(random, group, alike)), group)


def _within(truth: float, low: float | None, high: float | None) -> Answer:
    return None if low is None or high is None else bool(low <= truth <= high)


def _tests(images: int, together: int, alike: float) -> Draw:
    """Samples lie as far as held-out images do."""
    nowhere = np.zeros(SAMPLES, dtype=int)

    def draw(random: np.random.Generator) -> dict[str, Answer]:
        theirs, ours = held_out(random, images, together, alike), random.random(SAMPLES)
        z = data_copying(ours, theirs, nowhere, np.zeros(images, dtype=int)).z
        p_values = {
            "replicas at a calibrated threshold": replication(
                ours, nowhere, theirs, np.ones(1), {"calibrated": SHARE}
            ).p_value,
            "replicas at a fixed threshold": replication(ours, nowhere, theirs, np.ones(1), {"rms": 0.03}).p_value,
            "authentic samples": compare_rates(ours > 0.5, Grouped(theirs.values > 0.5, theirs.groups), True).p_value,
            "C_T": None if z is None else special.ndtr(z),
        }
        return {name: None if p_value is None else bool(p_value <= 0.05) for name, p_value in p_values.items()}

    return draw


def _run(images: int, together: int, alike: float) -> Draw:
    """A tenth of the samples are copies that lie about the true threshold; the others lie as held-out images do."""
    copied, fixed = 0.1, 0.03
    hit = special.ndtr(0.0) - special.ndtr(-2 / 0.3)
    truth = 100 * (copied * hit + (1 - copied) * SHARE)

    def draw(random: np.random.Generator) -> dict[str, Answer]:
        theirs = held_out(random, images, together, alike)
        near = np.abs(SHARE * (1 + 0.3 * random.standard_normal(SAMPLES)))
        ours = np.where(random.random(SAMPLES) < copied, near, random.random(SAMPLES))
        nowhere = np.zeros(SAMPLES, dtype=int)
        calibrated, at = (
            replication(ours, nowhere, theirs, np.ones(1), {kind: number})
            for kind, number in (("calibrated", SHARE), ("rms", fixed))
        )
        return {
            "replicas": _within(truth, calibrated.low, calibrated.high),
            "excess": _within(100 * copied * (1 - fixed), at.excess.low, at.excess.high),
        }

    return draw


def _synthetic(images: int, together: int, alike: float) -> Draw:
    """Synthetic images of ten classes, of which a tenth are copies well within the threshold; one class, and all."""
    copied, of_class, classes = 0.1, 40, 10
    intended = np.repeat(np.arange(classes), of_class)
    truth = 100 * (copied + (1 - copied) * SHARE)

    def draw(random: np.random.Generator) -> dict[str, Answer]:
        ours = random.random(len(intended))
        ours = np.where(random.random(len(ours)) < copied, 0.0005 * ours, ours)
        by_class, in_all = copies_by_class(ours, intended, classes, held_out(random, images, together, alike))
        return {
            "class": _within(truth, by_class[0].low, by_class[0].high),
            "all": _within(truth, in_all.low, in_all.high),
        }

    return draw


def _audited(planted: float, images: int, together: int, alike: float) -> Draw:
    """Copies that an audit finds, well within the threshold; whether any where there are none."""

    def draw(random: np.random.Generator) -> bool:
        theirs = held_out(random, images, together, alike)
        ours = np.where(random.random(SAMPLES) < planted, 0.0005 * random.random(SAMPLES), random.random(SAMPLES))
        measured = copies("calibrated", SHARE, ours, np.zeros(SAMPLES, dtype=int), theirs, np.ones(1))
        if not planted:
            return measured.p_value <= 0.05 and measured.certain > 0
        return measured.low <= 100 * planted <= measured.high

    return draw


def told_by_lira(effect: float) -> float:
    """Share of members that LiRA tells by one other run at 1 % false alarms, where they lie nearer by `effect`."""
    return float(special.ndtr(special.ndtri(SHARE) + effect / (NOISE * np.sqrt(2))))


def _lira(effect: float, together: int) -> Draw:
    """LiRA of the first of two runs; what a run makes of an image, it makes of all images of a group."""
    image = np.arange(1200)
    group, half = image // together, image % 400 // 200
    member = np.array([(image < 400) & (half == run) for run in (0, 1)])
    moved = effect / (NOISE * np.sqrt(2))
    told = 100 * told_by_lira(effect)

    def draw(random: np.random.Generator) -> dict[str, Answer]:
        own = random.normal(0, 1, len(image))
        noise = NOISE * np.stack([scattered(random, group, 0.8) for _ in member])
        result = lira(np.exp(own + noise - effect * member), member, group)[0]
        return {
            "test": None if result.p_value is None else result.p_value <= 0.05,
            "auc": _within(float(special.ndtr(moved / np.sqrt(2))), result.auc_low, result.auc_high),
            "told": _within(told, result.told[0].low, result.told[0].high),
        }

    return draw


DESIGNS = [
    {"held-out": images, "together": together, "alike": alike}
    for images, together, alike in (
        (1000, 1, 0.0), (300, 2, 0.8), (1000, 10, 0.3), (1000, 10, 0.8), (1000, 10, 1.0), (1000, 50, 0.5),
        (160, 20, 0.8),
    )
]  # fmt: skip
MEMBERS = 200
GROUPS = (2, 10, 20)  # images together


CHANCE = [(design, _tests(*design.values())) for design in DESIGNS]
COPYING = [(design, _run(*design.values())) for design in DESIGNS]
SYNTHETIC = [(design, _synthetic(*design.values())) for design in DESIGNS]
SIMULATIONS = [
    *(
        Simulation(f"groups {name} {' '.join(map(str, design.values()))}", f"{name}, by chance alone", "p-value", draw,
                   800, design, name)
        for name in ("replicas at a calibrated threshold", "replicas at a fixed threshold", "authentic samples", "C_T")
        for design, draw in CHANCE
    ),
    *(
        Simulation(f"groups {part} {' '.join(map(str, design.values()))}", claim, "interval", draw, 500, design, part,
                   few(SAMPLES * 0.1, design["held-out"] * SHARE / design["together"]))
        for part, claim in (("replicas", "the percentage of replicas of one run, of held-out images in groups"),
                            ("excess", "replicas beyond chance at a fixed threshold, of held-out images in groups"))
        for design, draw in COPYING
    ),
    *(
        Simulation(f"groups synthetic {part} {' '.join(map(str, design.values()))}", claim, "interval", draw, 500,
                   design, part, few(events, design["held-out"] * SHARE / design["together"]))
        for part, claim, events in (
            ("class", "copies among 40 synthetic images of a class, of test images in groups", 4),
            ("all", "copies among 400 synthetic images of ten classes, of test images in groups", 40),
        )
        for design, draw in SYNTHETIC
    ),
    *(
        Simulation(f"groups audit {planted} {' '.join(map(str, design.values()))}",
                   "copies that an audit finds, of held-out images in groups" if planted
                   else "an audit finds copies where there are none, of held-out images in groups",
                   "interval" if planted else "decision", _audited(planted, *design.values()), 500,
                   {"planted, %": 100 * planted} | design, "", few(design["held-out"] * SHARE / design["together"]))
        for planted in (0.0, 0.1) for design in DESIGNS[1:]
    ),
]  # fmt: skip
LIRA = {(effect, together): _lira(effect, together) for effect in (0.0, 0.1) for together in GROUPS}
SIMULATIONS += [
    Simulation(f"groups LiRA {part} {effect} {together}", claim, kind, draw, 400,
               {"effect": effect, "together": together}, part,
               few(MEMBERS * told_by_lira(effect) / together) if part == "told" else "")
    for part, claim, kind in (("test", "LiRA of images that come in groups, where nobody is given away", "p-value"),
                              ("auc", "the area under the curve of LiRA, of images that come in groups", "interval"),
                              ("told", "members told by LiRA at 1 % false alarms, of images in groups", "interval"))
    for (effect, together), draw in LIRA.items() if part != "test" or not effect
]  # fmt: skip
