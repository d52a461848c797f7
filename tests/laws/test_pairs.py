"""Laws across pairs: a shared level is found shared, levels that differ are told apart, constants have no decay."""

import numpy as np
import pytest

from workflow_scripts.laws.decay import Axis, Points, law
from workflow_scripts.laws.pairs import (
    Pair,
    compare_models,
    fit_hierarchical,
    fit_pairs,
    fit_shared,
    level_prior,
)

AXIS = Axis("ln_size", float(np.log(45)), 1.0)
SIZES = np.repeat([8.0, 16.0, 32.0, 64.0, 128.0, 256.0], 2)


def measure(level: float, rate: float, seed: int, sizes: np.ndarray = SIZES) -> Points:
    random = np.random.default_rng(seed)
    share = law(level, rate, AXIS.standardise(sizes)) / 100 * np.exp(0.1 * random.standard_normal(len(sizes)))
    replicas = random.binomial(1024, np.minimum(share, 1)).astype(float)
    return Points(sizes, sizes, replicas, np.full(len(sizes), 1024.0), np.zeros(len(sizes)))


def study(levels: list[float], rates: list[float], seed: int = 0) -> dict[Pair, Points]:
    pairs = zip(levels, rates, strict=True)
    return {("biggan", f"set-{i}"): measure(*pair, seed=10 * seed + i) for i, pair in enumerate(pairs)}


def test_a_shared_level_is_recovered_and_not_rejected() -> None:
    rates = [0.5, 0.8, 1.1]
    covered, rejected = 0, 0
    for seed in range(8):
        fits = fit_pairs(study([2.0, 2.0, 2.0], rates, seed), AXIS, "binomial")
        shared = fit_shared(fits)
        covered += shared.level_interval[0] <= 2.0 <= shared.level_interval[1]
        assert list(shared.rates.values()) == pytest.approx(rates, abs=0.25)
        test = compare_models(fits).shared_level
        assert test is not None
        rejected += test.p_value < 0.05
    assert covered >= 6
    assert rejected <= 2


@pytest.mark.parametrize("method", ["binomial", "least_squares"])
def test_levels_that_differ_are_told_apart(method: str) -> None:
    fits = fit_pairs(study([1.0, 2.0, 3.0], [0.5, 0.5, 0.5]), AXIS, method)  # type: ignore[arg-type]
    comparison = compare_models(fits)
    assert comparison.shared_level is not None
    assert comparison.shared_level.p_value < 1e-3
    assert comparison.shared_level.degrees == 2
    for other in ("shared", "constant"):
        assert comparison.mean_error["free"] < comparison.mean_error[other]
        assert comparison.deviance["free"] < comparison.deviance[other]


def test_decay_is_found_where_there_is_one_and_not_where_there_is_none() -> None:
    decaying = compare_models(fit_pairs(study([2.0, 2.5], [0.8, 0.6]), AXIS, "binomial"))
    assert decaying.decay.p_value < 1e-6
    constant = [compare_models(fit_pairs(study([2.0, 3.0], [0.0, 0.0], seed), AXIS, "binomial")) for seed in range(10)]
    assert sum(one.decay.p_value < 0.05 for one in constant) <= 2
    assert np.median([one.mean_error["constant"] - one.mean_error["free"] for one in constant]) < 0


def test_one_pair_has_no_shared_level_to_test() -> None:
    assert compare_models(fit_pairs(study([2.0], [0.8]), AXIS, "binomial")).shared_level is None


def test_generators_have_their_own_scatter() -> None:
    calm, wild = study([2.0], [0.8]), study([2.0], [0.8])
    restless = wild["biggan", "set-0"]
    restless.replicas[:] = np.minimum(restless.replicas * np.tile([0.4, 1.8], 6), 1024)
    fits = fit_pairs({("biggan", "a"): calm["biggan", "set-0"], ("stylegan2", "a"): restless}, AXIS, "binomial")
    assert fits["stylegan2", "a"].dispersion.run_sd > 2 * fits["biggan", "a"].dispersion.run_sd


def test_level_prior_recovers_mean_and_scatter_of_the_levels() -> None:
    levels = list(2.0 + 0.4 * np.random.default_rng(5).standard_normal(24))
    prior = level_prior(fit_pairs(study(levels, [0.8] * 24), AXIS, "binomial"), "test")
    assert prior is not None
    assert prior.pairs == 24
    assert prior.mean == pytest.approx(np.mean(levels), abs=0.1)
    assert prior.sd == pytest.approx(np.std(levels, ddof=1), rel=0.25)


def test_level_prior_needs_two_pairs() -> None:
    fits = fit_pairs(study([2.0], [0.8]), AXIS, "binomial")
    assert level_prior(fits, "test") is None
    assert fit_hierarchical(fits) == {}


def test_hierarchical_levels_lie_between_their_own_and_the_mean_and_gain_most_where_points_are_few() -> None:
    pairs = study([1.6, 1.9, 2.1, 2.4], [0.8] * 4)
    sparse = ("biggan", "sparse")
    pairs[sparse] = measure(2.0, 0.8, seed=77, sizes=np.array([8.0, 16.0, 32.0]))
    free = fit_pairs(pairs, AXIS, "binomial")
    hierarchical = fit_hierarchical(free)
    prior = level_prior(free, "")
    assert prior is not None
    for pair, fit in free.items():
        low, high = sorted([fit.level, prior.mean])
        assert low - 0.02 <= hierarchical[pair].level <= high + 0.02

    def width(fit: object) -> float:
        return float(np.ptp(fit.level_interval))  # type: ignore[attr-defined]

    gains = {pair: width(hierarchical[pair]) / width(free[pair]) for pair in pairs}
    assert min(gains, key=gains.__getitem__) == sparse
    assert gains[sparse] < 0.9
