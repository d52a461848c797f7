"""The laws of decay: rates, bands, safe sizes and predictions, under exponential and logistic truths."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np
from scipy.special import expit

from tests.coverage.simulate import Draw, Simulation
from workflow_scripts.laws.decay import DIMENSION_AXIS, Axis, DecayFit, Pair, Points, fit_pairs
from workflow_scripts.laws.measured import Excess, measured_excess, scatter_draws
from workflow_scripts.laws.one_shot import OtherPairs, one_shot_outlook
from workflow_scripts.laws.outlook import own_outlook
from workflow_scripts.laws.pairs import compare_levels
from workflow_scripts.laws.size_law import DimensionCurve
from workflow_scripts.laws.study import size_fits
from workflow_scripts.laws.trend import trend

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


class Law(Protocol):
    """A known law: the mean share that copies at sizes."""

    def share(self, size: np.ndarray) -> np.ndarray: ...


@cache
def _grid(width: float) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and the mean share over runs whose log-odds scatter about them."""
    odds, nodes = np.linspace(-16, 30, 1500), np.linspace(-8, 8, 321)
    weight = np.exp(-(nodes**2) / 2)
    return odds, expit(odds[:, None] + width * nodes) @ (weight / weight.sum())


def run_shares(random: np.random.Generator, truth: Law, sizes: np.ndarray, variation: float) -> np.ndarray:
    """Shares of runs: the odds of a copy scatter log-normally between them, with the law as their mean share."""
    width = float(np.sqrt(np.log1p(variation**2)))
    odds, means = _grid(width)
    return expit(np.interp(truth.share(sizes), means, odds) + width * random.standard_normal(len(sizes)))


def measure(random: np.random.Generator, truth: Law, sizes: np.ndarray, variation: float) -> Points:
    """What is counted of such runs."""
    copied = run_shares(random, truth, sizes, variation)
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


AXES = [Axis("ln_size", np.log(16.0), 1.0), Axis("size", 16.0, 1.0)]


def _study(curve: str, variation: float, sizes: int, seeds: int, generators: int) -> Draw:
    """What a study says of each of its generators; see CLAIMS."""

    def draw(random: np.random.Generator) -> dict[str, list[bool | None]]:
        truths, pairs = study(random, curve, variation, sizes, seeds, generators)
        answers: dict[str, list[bool | None]] = {claim: [] for claim in CLAIMS}
        for pair, fits in size_fits(pairs, AXES).items():
            held = _held(random, truths[pair], pairs[pair], fits) if fits[0].posterior else dict.fromkeys(CLAIMS)
            for claim, answer in held.items():
                answers[claim].append(answer)
        return answers

    return draw


def _held(random: np.random.Generator, truth: Truth, points: Points, fits: list[DecayFit]) -> dict[str, bool | None]:
    """Which intervals of one generator hold the truth. fits: against ln size and size, each under both curves."""
    outlook = own_outlook(fits)
    right = next(fit for fit in fits if (fit.axis.name, fit.curve) == ("ln_size", truth.curve))
    safe = outlook.safe_size(WANTED, points.size)
    size = random.choice(np.unique(points.size))
    here = points.select(points.size == size)
    share = 100 * float(truth.share(np.array([size]))[0])
    excess = measured_excess(here, scatter_draws([fit.posterior for fit in fits if fit.posterior is not None]))
    held = {
        "rate": _within(truth.rate, *right.rate_interval),
        "safe": _within(truth.size(WANTED / 100), safe.low, safe.high),
        "share": _within(share, *outlook.percentage(np.array([size]))[[0, 2], 0]),
        "measured": _within(share, excess.low, excess.high),
    }
    if len(np.unique(points.size)) > 3:  # as the trials do it
        low, _, high = own_outlook(fits, left_out=size).measurement(here)
        measured = float(here.replicas.mean()) / SAMPLES
        held["predicted"] = _within(100 * (measured - CHANCE) / (1 - CHANCE), low, high)
    return held


def _within(value: float, low: float, high: float) -> bool:
    return bool(low <= value <= high)


GROWTH = DimensionCurve(4.0, 3.0, np.diag([0.05, 0.002]), np.inf, (32.0, 4096.0))  # of the dimension with ln size


@dataclass(frozen=True)
class DimensionTruth:
    """A known law in dimension, like Truth: ln percentage `level` at the axis' centre, falling with `rate`."""

    level: float
    rate: float

    def share(self, size: np.ndarray) -> np.ndarray:
        x = DIMENSION_AXIS.standardise(GROWTH.dimension(size))
        return np.minimum(np.exp(self.level - self.rate * x) / 100, 0.97)

    def size(self, share: float) -> float:
        return GROWTH.size(float(DIMENSION_AXIS.restore(np.array((self.level - np.log(100 * share)) / self.rate))))


def _one_shot(variation: float, seeds: int) -> Draw:
    """The safe size by runs at one size, the level of other pairs, and a growth that is known with an error."""

    def draw(random: np.random.Generator) -> bool | None:
        truths = [DimensionTruth(random.normal(1.5, 0.5), random.uniform(1.5, 3.0)) for _ in range(6)]
        sizes = np.geomspace(64, 2048, 8)
        others = {}
        for i, truth in enumerate(truths[1:]):
            points = measure(random, truth, sizes, variation)
            others[f"g{i}", "data"] = replace(points, dimension=GROWTH.dimension(sizes))
        levels = compare_levels(fit_pairs(others, DIMENSION_AXIS))
        if levels is None:
            return None
        slope, intercept = random.normal(0.0, np.sqrt(np.diag(GROWTH.covariance)))[::-1]
        curve = replace(GROWTH, intercept=GROWTH.intercept + intercept, slope=GROWTH.slope + slope)
        shot = measure(random, truths[0], np.full(seeds, 128.0), variation)
        outlook = one_shot_outlook(shot, curve, OtherPairs(levels, "others")).outlook
        if outlook is None:
            return None
        safe = outlook.safe_size(WANTED, shot.size)
        return _within(truths[0].size(WANTED / 100), safe.low, safe.high)

    return draw


def _levels(variation: float, count: int) -> Draw:
    """The mean level of so many pairs, and the level of another one, by laws in dimension of one seed."""

    def draw(random: np.random.Generator) -> dict[str, bool | None]:
        sizes = np.geomspace(64, 2048, 8)
        pairs = {}
        for i in range(count):
            truth = DimensionTruth(random.normal(1.5, 0.5), random.uniform(1.5, 3.0))
            points = measure(random, truth, sizes, variation)
            pairs[f"g{i}", "data"] = replace(points, dimension=GROWTH.dimension(sizes))
        levels = compare_levels(fit_pairs(pairs, DIMENSION_AXIS))
        if levels is None:
            return {"mean": None, "another": None}
        return {
            "mean": _within(1.5, *levels.mean_interval),
            "another": _within(random.normal(1.5, 0.5), *levels.another),
        }

    return draw


def _one_size(random: np.random.Generator, share: float, variation: float, seeds: int) -> Points:
    """Runs at one size; the samples that are no copies never come near a training image, the worst case."""
    width = float(np.sqrt(np.log1p(variation**2)))
    odds, means = _grid(width)
    copied = expit(np.interp(share, means, odds) + width * random.standard_normal(seeds))
    of = np.full(seeds, float(SAMPLES))
    replicas = random.binomial(SAMPLES, copied).astype(float)
    return Points(np.full(seeds, 64.0), np.full(seeds, np.nan), replicas, of, np.full(seeds, CHANCE))


def _claimed_safe(share: float, variation: float, seeds: int) -> Draw:
    """Whether `at most 1 %` is said of a mean share above it; the scatter is assumed, as without a law."""

    def draw(random: np.random.Generator) -> bool:
        return _excess(seeds, int(_one_size(random, share, variation, seeds).replicas.sum())).at_most <= WANTED

    return draw


@cache
def _excess(seeds: int, replicas: int) -> Excess:
    """Of so many replicas in all, with the scatter that is assumed; how they are spread over seeds does not matter."""
    of = np.full(seeds, float(SAMPLES))
    points = Points(
        np.full(seeds, 64.0), np.full(seeds, np.nan), of * (replicas / of.sum()), of, np.full(seeds, CHANCE)
    )
    return measured_excess(points, scatter_draws([]))


def _falls(variation: float, sizes: int, seeds: int, generators: int) -> Draw:
    """Whether a decay is seen where none is."""

    def draw(random: np.random.Generator) -> bool | None:
        at = np.repeat(np.array(SIZES[sizes], dtype=float), seeds)
        flat = [measure(random, Truth("logistic", 16.0, 1e-9), at, variation) for _ in range(generators)]
        tested = trend(flat)
        return None if np.isnan(tested.p_value) else tested.falls

    return draw


def _levels_differ(curve: str, variation: float, sizes: int, seeds: int, generators: int) -> Draw:
    """Whether levels are told apart that are the same, with rates of their own."""

    def draw(random: np.random.Generator) -> bool | None:
        at = np.repeat(np.array(SIZES[sizes], dtype=float), seeds)
        pairs = {}
        for i in range(generators):  # 10 % at 16 images
            rate = random.uniform(2, 4)
            middle = 16 * (0.1 / 0.5) ** (1 / rate)
            pairs[f"g{i}", "data"] = measure(random, Truth(curve, middle, rate), at, variation)
        levels = compare_levels(fit_pairs(pairs, AXES[0]))
        return None if levels is None else levels.p_value <= 0.05

    return draw


DESIGNS = [(3, 1, 3), (3, 2, 3), (3, 5, 1), (4, 2, 3), (8, 1, 1), (8, 1, 3), (8, 2, 3)]
VARIATIONS = (0.2, 0.5, 1.0)
CLAIMS = {
    "rate": "the rate of decay",
    "safe": "the safe size, averaged over curves",
    "share": "the share of copies at a size, averaged over curves",
    "measured": "the share of copies at a size, as measured",
    "predicted": "runs at a size that was left out",
}
AVERAGED = ("safe", "share", "measured", "predicted")
STUDIES = {
    (curve, variation, *design): _study(curve, variation, *design)
    for curve in ("exponential", "logistic")
    for variation in VARIATIONS
    for design in DESIGNS
}
LEVELS = {(variation, count): _levels(variation, count) for variation in (0.5, 1.0) for count in (3, 6)}
SIMULATIONS = [
    *(
        Simulation(
            f"{claim} {curve} {variation} {(sizes, seeds, generators)}", CLAIMS[claim], "interval", draw,
            140 if generators > 1 else 400,
            {"truth": curve, "CV": variation, "sizes": sizes, "seeds": seeds, "generators": generators}, claim,
            "average" if claim in AVERAGED else "",
        )
        for claim in CLAIMS
        for (curve, variation, sizes, seeds, generators), draw in STUDIES.items()
        if claim != "predicted" or sizes > 3
    ),
    *(
        Simulation(
            f"one shot {variation} {seeds}", "the safe size from one size (one shot)", "interval",
            _one_shot(variation, seeds), 200, {"CV": variation, "seeds": seeds},
        )
        for variation in VARIATIONS
        for seeds in (1, 3)
    ),
    *(
        Simulation(
            f"level {part} {variation} {count}", f"the {claim}", "interval", draw, 200,
            {"CV": variation, "pairs": count}, part, "pairs",
        )
        for part, claim in (("mean", "mean level of pairs"), ("another", "level of another pair"))
        for (variation, count), draw in LEVELS.items()
    ),
    *(
        Simulation(
            f"safe as measured {share} {variation} {seeds}", "at most 1 % as measured, where more are copies",
            "decision", _claimed_safe(share, variation, seeds), 2000,
            {"copies": f"{100 * share:g} %", "CV": variation, "seeds": seeds},
        )
        for share in (0.011, 0.015, 0.02)
        for variation in VARIATIONS
        for seeds in (1, 2, 3, 5)
    ),
    *(
        Simulation(
            f"falls {variation} {design}", "copying falls with size, where it does not", "p-value",
            _falls(variation, *design), 1000,
            {"CV": variation, "sizes": design[0], "seeds": design[1], "generators": design[2]},
        )
        for variation in VARIATIONS
        for design in ((3, 1, 1), (3, 1, 3), (3, 2, 1), (4, 1, 1), (4, 2, 1), (8, 1, 1), (8, 1, 3))
    ),
    *(
        Simulation(
            f"levels {variation} {design}", "levels of pairs differ, where they do not", "p-value",
            _levels_differ("exponential", variation, *design), 400,
            {"CV": variation, "sizes": design[0], "seeds": design[1], "pairs": design[2]},
        )
        for variation in VARIATIONS
        for design in ((8, 1, 3), (4, 3, 6))
    ),
]  # fmt: skip
