"""The laws of decay: rates, bands, safe sizes and predictions, under exponential and logistic truths."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import expit

from tests.coverage.simulate import Simulation
from workflow_scripts.laws.decay import Axis, Pair, Points, fit_pairs
from workflow_scripts.laws.outlook import own_outlook

SAMPLES, CHANCE, WANTED = 1024, 0.01, 1.0
SIZES = {3: [8, 16, 32], 4: [8, 16, 32, 64], 8: [6, 8, 11, 13, 16, 19, 23, 32]}


@dataclass(frozen=True)
class Truth:
    """A known law in ln size: the share that copies is half at `middle` images, and falls with `rate` per e-fold."""

    curve: str
    middle: float
    rate: float

    def share(self, size: np.ndarray) -> np.ndarray:
        if self.curve == "logistic":
            return 1 / (1 + (size / self.middle) ** self.rate)
        return np.minimum(0.5 * (size / self.middle) ** -self.rate, 0.97)

    def size(self, share: float) -> float:
        odds = (1 - share) / share if self.curve == "logistic" else 0.5 / share
        return float(self.middle * odds ** (1 / self.rate))


@cache
def _grid(width: float) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and the mean share over runs whose log-odds scatter about them."""
    odds, nodes = np.linspace(-16, 30, 1500), np.linspace(-8, 8, 321)
    weight = np.exp(-(nodes**2) / 2)
    return odds, expit(odds[:, None] + width * nodes) @ (weight / weight.sum())


def measure(random: np.random.Generator, truth: Truth, sizes: np.ndarray, variation: float) -> Points:
    """Runs of a generator: the odds of a copy scatter log-normally between them, with the law as their mean share."""
    width = float(np.sqrt(np.log1p(variation**2)))
    odds, means = _grid(width)
    copied = expit(np.interp(truth.share(sizes), means, odds) + width * random.standard_normal(len(sizes)))
    chance = CHANCE * random.uniform()  # how far the generator's other samples are from the training set
    return Points(
        size=sizes,
        dimension=np.full(len(sizes), np.nan),
        replicas=random.binomial(SAMPLES, chance + (1 - chance) * copied).astype(float),
        samples=np.full(len(sizes), float(SAMPLES)),
        background=np.full(len(sizes), CHANCE),
    )


def study(
    random: np.random.Generator, curve: str, variation: float, sizes: int, seeds: int, generators: int
) -> tuple[dict[Pair, Truth], dict[Pair, Points]]:
    at = np.repeat(np.array(SIZES[sizes], dtype=float), seeds)
    truths = {(f"g{i}", "data"): Truth(curve, random.uniform(7, 12), random.uniform(2, 4)) for i in range(generators)}
    return truths, {pair: measure(random, truth, at, variation) for pair, truth in truths.items()}


AXES = {"ln_size": Axis("ln_size", np.log(16.0), 1.0), "size": Axis("size", 16.0, 10.0)}


def _rate(*design: object) -> Callable[[np.random.Generator], bool | None]:
    def draw(random: np.random.Generator) -> bool | None:
        truths, pairs = study(random, *design)  # type: ignore[arg-type]
        fit = fit_pairs(pairs, AXES["ln_size"], design[0])[("g0", "data")]  # type: ignore[arg-type]
        low, high = fit.rate_interval
        return None if fit.posterior is None else low <= truths["g0", "data"].rate <= high

    return draw


def _safe(*design: object) -> Callable[[np.random.Generator], bool | None]:
    def draw(random: np.random.Generator) -> bool | None:
        truths, pairs = study(random, *design)  # type: ignore[arg-type]
        fits = [
            fit_pairs(pairs, axis, curve)["g0", "data"]
            for axis in AXES.values()
            for curve in ("exponential", "logistic")
        ]
        if fits[0].posterior is None:
            return None
        safe = own_outlook(fits).safe_size(WANTED, fits[0].points.size)
        return safe.low <= truths["g0", "data"].size(WANTED / 100) <= safe.high

    return draw


DESIGNS = [
    (3, 1, 1),
    (3, 1, 3),
    (3, 2, 1),
    (3, 2, 3),
    (3, 3, 3),
    (3, 5, 1),
    (4, 1, 3),
    (4, 2, 1),
    (4, 2, 3),
    (4, 3, 1),
    (4, 5, 3),
    (8, 1, 1),
    (8, 1, 3),
    (8, 2, 3),
]  # sizes, seeds, generators
SIMULATIONS = [
    Simulation(
        f"{name} {curve} {variation} {design}", claim, "interval", maker(curve, variation, *design), 400,
        {"truth": curve, "CV": variation, "sizes": design[0], "seeds": design[1], "generators": design[2]},
    )
    for name, claim, maker in (("rate", "the rate of decay", _rate), ("safe", "the safe size", _safe))
    for curve in ("exponential", "logistic")
    for variation in (0.2, 0.5, 1.0)
    for design in DESIGNS
]  # fmt: skip
