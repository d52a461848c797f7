"""The audit's interval of copies and its test, from planted copies; its power; and what samples add for rare classes.

Samples that are no copies lie as far from the training images as held-out images, or farther, or nearer, or never near.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from tests.coverage.simulate import Simulation, few
from workflow_scripts.audit.copies import Copies, copies
from workflow_scripts.audit.gain import Labelled, rare_gain
from workflow_scripts.audit.measures import power

# Distances of held-out images are uniform, and those of samples that are no copies are times as large.
SCALES = {"as held-out images": 1.0, "five times as far": 5.0, "twice as near": 0.5}
SHARE = 0.01
SPACES = 4  # of an audit by default; the worst that they can do is to err independently


def _measured(
    random: np.random.Generator,
    planted: float,
    samples: int,
    held_out: int,
    scale: float,
    gap: float = 0.0,
    spaces: int = 1,
) -> Copies:
    near = 0.0005 * random.random(samples)
    others = gap + (1 - gap) * scale * random.random(samples)
    distances = np.where(random.random(samples) < planted, near, others)
    nowhere = np.zeros(samples, dtype=int)
    return copies("calibrated-0.01", SHARE, distances, nowhere, random.random(held_out), np.ones(1), spaces)


def _interval(
    planted: float, samples: int, held_out: int, scale: float, gap: float = 0.0
) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        measured = _measured(random, planted, samples, held_out, scale, gap)
        return measured.low <= 100 * planted <= measured.high

    return draw


def _hidden(planted: float, samples: int) -> bool:
    """Whether it matters beside the error of the count if chance adds nothing to it, or a share of SHARE."""
    return bool(np.sqrt(planted * (1 - planted) / samples) < 2 * SHARE)


def _upper(planted: float, samples: int, held_out: int, scale: float) -> Callable[[np.random.Generator], bool]:
    return lambda random: _measured(random, planted, samples, held_out, scale).high < 100 * planted


def _found(samples: int, held_out: int, scale: float) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        measured = [_measured(random, 0.0, samples, held_out, scale, spaces=SPACES) for _ in range(SPACES)]
        return any(space.p_value * SPACES <= 0.05 and space.certain > 0 for space in measured)

    return draw


TRAINED, PLANTED = 2000, 100  # training images, and how many of them are planted


def _power(share: float, size: int) -> Callable[[np.random.Generator], bool]:
    """Of all training images, in groups of `size` whose copies lie alike, such a share would be found."""

    def draw(random: np.random.Generator) -> bool:
        groups = np.arange(TRAINED) // size
        distances = random.standard_normal(TRAINED) + 2 * random.standard_normal(TRAINED)[groups]
        limit = float(np.quantile(distances, share))
        chosen = np.sort(random.choice(TRAINED, PLANTED, replace=False))
        nearest = {"query": chosen, "space": "pixel", "kind": "query", "index": chosen, "distance": distances[chosen]}
        planted = {"query": chosen, "source": chosen, "change": "mirrored", "training": True}
        nobody = np.empty(0, dtype=np.int64)
        [row] = power(pd.DataFrame(nearest), pd.DataFrame(planted), nobody, groups, {"pixel": limit})
        return row["found_low"] <= 100 * share <= row["found_high"]

    return draw


COUNTS = (200, 100, 20)  # training images of three classes, of which the last is rare
CHANGED = {0.0: 0.12, 3.0: 0.4}  # of the held-out images, those whose answer changes with samples so displaced


def _gain(held_out: int, displaced: float) -> Callable[[np.random.Generator], bool]:
    """Samples of the rare class lie `displaced` from its images; the truth is that of very many held-out images."""

    def images(random: np.random.Generator, counts: tuple[int, ...], moved: float = 0.0) -> Labelled:
        classes = np.repeat(np.arange(len(counts)), counts)
        features = 1.5 * np.eye(len(counts), 8)[classes] + random.standard_normal((len(classes), 8))
        features[:, -1] += moved
        return features, classes

    def draw(random: np.random.Generator) -> bool:
        training, samples = images(random, COUNTS), images(random, (0, 0, 200), displaced)
        told, truth = (
            rare_gain(training, images(random, (0, 0, count)), samples, np.ones(200, dtype=bool), ["a", "b", "rare"])
            for count in (held_out, 20_000)
        )
        return told["with"]["samples"]["low"] <= truth["with"]["samples"]["gain"] <= told["with"]["samples"]["high"]

    return draw


SIMULATIONS = [
    *(
        Simulation(
            f"audit gain {displaced} {held_out}",
            "what samples add to the recall of rare classes, among all images like those held out",
            "interval",
            _gain(held_out, displaced),
            800,
            {"samples displaced, SD": displaced, "held-out": held_out},
            reason=few(CHANGED[displaced] * held_out),
        )
        for displaced in (0.0, 3.0)
        for held_out in (20, 60, 300)
    ),
    *(
        Simulation(
            f"audit copies {planted} {samples} {held_out}",
            "copies that an audit finds among samples, where samples that are no copies are like held-out images",
            "interval",
            _interval(planted, samples, held_out, 1.0),
            1000,
            {"planted, %": 100 * planted, "samples": samples, "held-out": held_out},
            reason=few(samples * planted),
        )
        for planted in (0.0, 0.001, 0.01, 0.1)
        for samples, held_out in ((1000, 1000), (10_000, 2000))
    ),
    *(
        Simulation(
            f"audit power {share} {size}",
            "the share of planted copies that an audit says it finds, among all training images",
            "interval",
            _power(share, size),
            1000,
            {"found, %": 100 * share, "images in a group": size},
        )
        for size in (1, 5)
        for share in (0.02, 0.3, 0.95)
    ),
    *(
        Simulation(
            f"audit gap {gap} {planted} {samples} {held_out}",
            "copies that an audit finds among samples, where samples that are no copies never come near",
            "interval",
            _interval(planted, samples, held_out, 1.0, gap * SHARE),
            500,
            {"gap, thresholds": gap, "planted, %": 100 * planted, "samples": samples, "held-out": held_out},
            reason=few(samples * planted) or ("chance" if _hidden(planted, samples) else ""),
        )
        for gap in (1.0, 2.0)
        for planted in (0.001, 0.01, 0.1)
        for samples, held_out in ((1000, 1000), (10_000, 2000))
    ),
    *(
        Simulation(
            f"audit upper end {planted} {name}",
            "the upper end of an audit's copies lies below the truth",
            "decision",
            _upper(planted, 1000, 1000, scale),
            1000,
            {"planted, %": 100 * planted, "samples that are no copies": name},
        )
        for planted in (0.001, 0.01, 0.1)
        for name, scale in SCALES.items()
    ),
    *(
        Simulation(
            f"audit copies found in {SPACES} spaces {name}",
            "an audit finds copies, in any of four spaces, where there are none",
            "decision",
            _found(1000, 1000, scale),
            1000,
            {"samples": name},
        )
        for name, scale in SCALES.items()
    ),
]
