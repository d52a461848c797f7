"""Near-duplicates across a split: how often a clean split is said to have one."""

from collections.abc import Callable

import numpy as np

from tests.coverage.simulate import Simulation
from workflow_scripts.metrics.duplicates import SEEN, count_near_duplicates

WIDTH = 30  # values of an image


def _points(random: np.random.Generator, count: int, kind: str) -> np.ndarray:
    """Images whose variation has fewer dimensions than they have values, float (count, WIDTH)."""
    if kind.isdecimal():
        return np.pad(random.standard_normal((count, int(kind))), ((0, 0), (0, WIDTH - int(kind))))
    # Five classes, from simple ones that vary little to those that vary in every value; the first are rare.
    dimensions, scales, shares = (8, 12, 16, 20, WIDTH), (0.5, 0.7, 1, 1.5, 2), (0.02, 0.08, 0.2, 0.3, 0.4)
    centres = np.random.default_rng(0).normal(size=(5, WIDTH)) / 2
    classes = random.choice(5, count, p=shares)
    varying = np.arange(WIDTH) < np.array(dimensions)[classes, None]
    return centres[classes] + np.array(scales)[classes, None] * varying * random.standard_t(5, (count, WIDTH))


def _clean(kind: str, held_out: int, training: int) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        queries, references = _points(random, held_out, kind), _points(random, training, kind)
        squared = (queries**2).sum(1)[:, None] + (references**2).sum(1) - 2 * queries @ references.T
        nearest = np.sort(np.partition(squared, SEEN, axis=1)[:, :SEEN], axis=1)
        return bool(count_near_duplicates(np.sqrt(nearest.clip(0))).any())

    return draw


SIMULATIONS = [
    Simulation(
        f"clean split {kind} {held_out}", "a clean split is said to have near-duplicates", "decision",
        _clean(kind, held_out, training), 400, {"images": kind, "held out": held_out, "training": training},
    )
    for kind in ("2", "10", "classes")
    for held_out, training in ((60, 200), (500, 2000))
]  # fmt: skip
