"""Intervals of proportions, of their differences and of quantiles (core/intervals.py)."""

from collections.abc import Callable

import numpy as np

from tests.coverage.simulate import Simulation
from workflow_scripts.core.intervals import newcombe, quantile_interval, wilson

SAMPLES = 1024


def _wilson(share: float) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        low, high = wilson(random.binomial(SAMPLES, share), SAMPLES)
        return bool(low <= share <= high)

    return draw


def _newcombe(share: float, control: float) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        low, high = newcombe(random.binomial(SAMPLES, share), SAMPLES, random.binomial(500, control), 500)
        return bool(low <= share - control <= high)

    return draw


def _quantile(share: float) -> Callable[[np.random.Generator], bool]:
    def draw(random: np.random.Generator) -> bool:
        low, high = quantile_interval(random.random(2000), share)
        return bool(low <= share <= high)

    return draw


SIMULATIONS = [
    *(
        Simulation(
            f"wilson {share}", "a proportion", "interval", _wilson(share), 2000, {"share": share, "samples": SAMPLES}
        )
        for share in (0.01, 0.05, 0.5)
    ),
    *(
        Simulation(
            f"newcombe {share} {control}", "a difference of proportions", "interval", _newcombe(share, control), 2000,
            {"share": share, "control": control, "samples": f"{SAMPLES} and 500"},
        )
        for share, control in ((0.02, 0.01), (0.2, 0.01), (0.5, 0.4))
    ),
    *(
        Simulation(
            f"quantile {share}", "a quantile", "interval", _quantile(share), 2000, {"share": share, "values": 2000}
        )
        for share in (0.01, 0.05)
    ),
]  # fmt: skip
