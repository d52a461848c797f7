"""Coverage of what the stages similarity, rebalancing and complexity publish."""

from functools import cache

import numpy as np
import pandas as pd

from tests.coverage.simulate import Simulation
from workflow_scripts.metrics.dimension import estimate_dimension
from workflow_scripts.rebalancing.gain_law import GainPoints, fit_gain_law, predicted_gain, sign_p_value
from workflow_scripts.rebalancing.gains import COLUMNS, WORTHWHILE, improvements, over_baselines
from workflow_scripts.similarity.class_similarity import measure_similarity

BASELINES = ["original", "class-weights", "repetition", "balanced-softmax"]


def runs(values: dict[str, np.ndarray], group: str = "set") -> pd.DataFrame:
    """A table of runs of one measure: percentages (seeds,) by arm."""
    rows = [
        (group, arm, seed, "balanced_accuracy", "", value)
        for arm, own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def gain_is_covered(seeds: int, group: int):
    """Groups whose runs scatter by 3, 1, 1 and 1 points; the interval of one of them."""

    def draw(random: np.random.Generator) -> bool:
        tables = []
        for i, deviation in enumerate((3.0, 1.0, 1.0, 1.0)):
            original, augmented = random.normal([[60.0], [64.0]], deviation, (2, seeds))
            tables.append(runs({"original": original, "augmented": augmented}, f"set/{i}"))
        row = improvements(pd.concat(tables)).iloc[group]
        return bool(row["low"] <= 4.0 <= row["high"])

    return draw


def compared(random: np.random.Generator, seeds: int, arms: int, best: float, deviations: tuple[float, ...]):
    """The answer where all baselines are alike and one of the arms differs from them by so many points."""
    names = [f"gan.{i}" for i in range(arms)]
    scatter = dict(zip([*BASELINES, *names], np.resize(deviations, len(BASELINES) + arms), strict=True))
    means = dict.fromkeys(scatter, 70.0) | {names[0]: 70.0 + best}
    table = runs({arm: random.normal(means[arm], scatter[arm], seeds) for arm in scatter})
    return over_baselines(table, names, BASELINES).iloc[0]


def best_is_covered(seeds: int, arms: int, best: float, deviations: tuple[float, ...]):
    """All baselines are alike, so the best arm is so many points better than the best of them."""

    def draw(random: np.random.Generator) -> bool:
        row = compared(random, seeds, arms, best, deviations)
        return bool(row["low"] <= best <= row["high"])

    return draw


def falsely_best(seeds: int, arms: int, deviations: tuple[float, ...]):
    return lambda random: bool(compared(random, seeds, arms, 0.0, deviations)["low"] > 0)


def wrongly_given_up(seeds: int, arms: int):
    return lambda random: bool(compared(random, seeds, arms, WORTHWHILE, (1.0,))["high"] < WORTHWHILE)


def best_p_value(seeds: int, arms: int):
    return lambda random: bool(compared(random, seeds, arms, 0.0, (1.0,))["p_value"] <= 0.05)


def law_points(random: np.random.Generator, count: int, gain, deviations: tuple[float, ...]) -> GainPoints:
    """Groups whose gains scatter about a law by so many points, over four seeds and between sets."""
    similarity = random.uniform(0.05, 0.35, count)
    measured = similarity + 0.004 * random.standard_normal(count)
    gains = gain(similarity) + np.resize(deviations, count) * random.standard_normal(count)
    return GainPoints(measured, np.full(count, 0.004), gains, np.resize(deviations, count), ("set",) * count)


def falling(similarity: np.ndarray) -> np.ndarray:
    return 20 * np.exp(-8 * similarity)


def level(similarity: np.ndarray) -> np.ndarray:
    return np.full(similarity.shape, 5.0)


def rate_is_covered(count: int, deviations: tuple[float, ...]):
    def draw(random: np.random.Generator) -> bool | None:
        low, high = fit_gain_law(law_points(random, count, falling, deviations)).q_interval
        return low <= 8 <= high

    return draw


def prediction_is_covered(count: int, gain, deviations: tuple[float, ...]):
    def draw(random: np.random.Generator) -> bool | None:
        curve = fit_gain_law(law_points(random, count, gain, deviations)).curve()
        other = law_points(random, 1, gain, deviations[:1])
        similarity = float(other.similarity[0])
        prediction = predicted_gain(curve, similarity, (similarity - 0.008, similarity + 0.008))
        return None if prediction is None else prediction.low <= other.gain[0] <= prediction.high

    return draw


def falsely_identified(count: int):
    return lambda random: fit_gain_law(law_points(random, count, level, (1.0,))).verdict in ("identified", "opposite")


def bound_is_broken(count: int):
    """Gains that truly change by just more than the bound that a `flat` verdict names."""

    def draw(random: np.random.Generator) -> bool | None:
        points = law_points(random, count, lambda s: 5.0 - 10.0 * (s - 0.2), (0.8,))
        law = fit_gain_law(points)
        true = 10.0 * float(np.ptp(points.similarity))
        return not law.change[1] <= true <= law.change[2] if law.verdict == "flat" else None

    return draw


def sign_is_wrong(count: int):
    return lambda random: sign_p_value(law_points(random, count, level, (1.0,))) <= 0.05


PATTERNS = np.random.default_rng(5).integers(0, 2, (4, 3, 3, 1)).repeat(4, 1).repeat(4, 2) * 255


def class_images(random: np.random.Generator, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 12, 12, 1) of a pattern a class that differ much in how clear they are, and their labels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    clear = random.uniform(0.1, 0.8, (len(labels), 1, 1, 1))
    noise = random.integers(0, 256, (len(labels), 12, 12, 1))
    return (clear * PATTERNS[labels] + (1 - clear) * noise).astype(np.uint8), labels


@cache
def true_similarity(classes: int) -> dict[str, float]:
    images, labels = class_images(np.random.default_rng(0), (4000,) * classes)
    measured = measure_similarity(images, labels, list(map(str, range(classes))), standard_error=0.0005).flat
    return {name: value.value for name, value in measured.items() if value is not None}


def similarity_is_covered(counts: tuple[int, ...], measure: str):
    def draw(random: np.random.Generator) -> bool | None:
        value = measure_similarity(*class_images(random, counts), list(map(str, range(len(counts))))).flat[measure]
        if value is None or value.low is None or value.high is None:
            return None
        return value.low <= true_similarity(len(counts))[measure] <= value.high

    return draw


def cloud(random: np.random.Generator, count: int) -> np.ndarray:
    return random.standard_normal((count, 10)) * np.linspace(0.3, 2, 10)


@cache
def expected_dimension(count: int, first: int, last: int) -> float:
    """What sets of that size give on average: the value depends on the size."""
    random = np.random.default_rng(0)
    return float(np.mean([estimate_dimension(cloud(random, count), first, last, 10, 0).whole_set for _ in range(300)]))


def dimension_is_covered(count: int, first: int, last: int):
    def draw(random: np.random.Generator) -> bool | None:
        dimension = estimate_dimension(cloud(random, count), first, last, 60, int(random.integers(2**31)))
        if dimension.low is None or dimension.high is None:
            return None
        return dimension.low <= expected_dimension(count, first, last) <= dimension.high

    return draw


UNLIKE = (3.0, 1.0, 1.0, 1.0)
SIMULATIONS = [
    *(
        Simulation(f"gain-{seeds}-{group}", "gain of an arm, in groups with scatter 3, 1, 1 and 1", "interval",
                   gain_is_covered(seeds, group), 600, settings={"seeds": seeds, "scatter": 3 if group == 0 else 1})
        for seeds in (2, 3, 5) for group in (0, 1)
    ),
    *(
        Simulation(f"best-{seeds}-{arms}-{len(deviations)}", "'a generator beats every simpler method', falsely",
                   "decision", falsely_best(seeds, arms, deviations), 500,
                   settings={"seeds": seeds, "arms": arms, "scatter": ", ".join(map(str, deviations))})
        for seeds in (2, 3, 5) for arms, deviations in ((2, (1.0,)), (9, (1.0,)), (9, UNLIKE))
    ),
    *(
        Simulation(f"best-interval-{seeds}-{arms}-{best:g}-{len(deviations)}",
                   "gain of the best arm over the best simpler method", "interval",
                   best_is_covered(seeds, arms, best, deviations), 1000,
                   {"seeds": seeds, "arms": arms, "gain": best, "scatter": ", ".join(map(str, deviations))},
                   reason="choice")
        for seeds in (3, 5) for best in (0.0, 5.0)
        for arms, deviations in ((1, (1.0,)), (2, (1.0,)), (9, (1.0,)), (9, UNLIKE))
    ),
    *(
        Simulation(f"given-up-{seeds}-{arms}", "'do not train a generator', where one brings a point", "decision",
                   wrongly_given_up(seeds, arms), 500, settings={"seeds": seeds, "arms": arms})
        for seeds in (2, 3, 5) for arms in (2, 9)
    ),
    *(
        Simulation(f"best-p-{seeds}-{arms}", "best arm against the best simpler method", "p-value",
                   best_p_value(seeds, arms), 500, settings={"seeds": seeds, "arms": arms})
        for seeds in (3, 5) for arms in (2, 9)
    ),
    *(
        Simulation(f"rate-{count}-{len(deviations)}", "rate of the gain law", "interval",
                   rate_is_covered(count, deviations), 400,
                   {"groups": count, "scatter": ", ".join(map(str, deviations))})
        for count in (4, 6, 10) for deviations in ((1.0,), UNLIKE)
    ),
    *(
        Simulation(f"prediction-{name}-{count}", "gain predicted for another set", "interval",
                   prediction_is_covered(count, gain, (1.0,)), 600, {"truth": name, "groups": count})
        for name, gain in (("falling", falling), ("level", level)) for count in (6, 10)
    ),
    *(
        Simulation(f"identified-{count}", "'gains depend on similarity', where they do not", "decision",
                   falsely_identified(count), 400, {"groups": count})
        for count in (4, 6, 10)
    ),
    Simulation("flat-10", "'flat', with a bound that does not hold", "decision", bound_is_broken(10), 400,
               {"groups": 10}),
    *(
        Simulation(f"sign-{count}", "sign of the gain law, by permutation", "p-value", sign_is_wrong(count), 400,
                   {"groups": count})
        for count in (4, 6)
    ),
    *(
        Simulation(f"similarity-{measure}-{'-'.join(map(str, counts))}", "similarity of classes", "interval",
                   similarity_is_covered(counts, measure), 400,
                   {"measure": measure, "images of a class": ", ".join(map(str, counts))})
        for measure in ("between_sub", "contrast") for counts in ((30, 30, 30), (100, 40, 10, 4))
    ),
    *(
        Simulation(f"dimension-{count}", "intrinsic dimension of a set", "interval",
                   dimension_is_covered(count, first, last), 400, {"images": count, "k": f"{first} to {last}"})
        for count, first, last in ((16, 5, 6), (32, 5, 10), (100, 5, 10), (300, 10, 20))
    ),
]  # fmt: skip
