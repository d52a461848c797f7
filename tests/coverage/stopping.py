"""Coverage of the law of onset, with runs among them that begin before the first moment or after the last."""

from collections.abc import Callable

import numpy as np

from tests.coverage.simulate import Simulation
from workflow_scripts.laws.stopping import OnsetLaw, Training, fit_onsets

STEPS = np.arange(1, 9) * 100.0
SIZES, SAMPLES, CHANCE, WANTED = (6, 8, 11, 13, 16, 19, 23, 32), 256, 0.01, 1.0
ASKED = 16  # images


def study(random: np.random.Generator, exponent: float, scatter: float, middle: float, seeds: int) -> OnsetLaw:
    """The law of runs whose copies pass 1 % at `middle` steps at 16 images, log-normal scatter between them."""
    runs = []
    for size in SIZES * seeds:
        onset = middle * (size / ASKED) ** exponent * np.exp(scatter * random.standard_normal())
        copied = 1 - 0.99 ** ((STEPS / onset) ** random.uniform(3, 6))
        chance = CHANCE / 3 * random.uniform()
        replicas = random.binomial(SAMPLES, chance + (1 - chance) * copied).astype(float)
        runs.append(Training(size, 0, STEPS, replicas, np.full(8, float(SAMPLES)), CHANCE))
    return fit_onsets(runs, WANTED)[1]


def _exponent(exponent: float, *design: float) -> Callable[[np.random.Generator], bool | None]:
    def draw(random: np.random.Generator) -> bool | None:
        law = study(random, exponent, *design)  # type: ignore[arg-type]
        return None if law.reason else law.interval[0] <= exponent <= law.interval[1]

    return draw


def _steps(exponent: float, scatter: float, middle: float, seeds: int) -> Callable[[np.random.Generator], bool | None]:
    def draw(random: np.random.Generator) -> bool | None:
        law = study(random, exponent, scatter, middle, seeds)
        if law.reason:
            return None
        low, _, high = law.steps(ASKED)
        return low <= middle * np.exp(scatter * random.standard_normal()) <= high

    return draw


SIMULATIONS = [
    Simulation(
        f"{claim} {design}", claim, "interval", maker(*design), 400,
        dict(zip(("exponent", "scatter", "middle", "seeds"), design, strict=True)),
    )
    for claim, maker in (("the exponent of the onset", _exponent), ("the onset of another run", _steps))
    for design in [
        (exponent, scatter, middle, seeds)
        for exponent in (0.0, 1.0)
        for scatter in (0.1, 0.3)
        for middle in (250.0, 450.0)
        for seeds in (1, 2)
    ]
]  # fmt: skip
