"""Rank correlations and the two-factor model against scipy, planted effects and absent ones."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workflow_scripts.distillation.find_trends import answer, distilled_runs, draw_trends
from workflow_scripts.distillation.trends import (
    PUBLISHED,
    correlate,
    holm,
    permutations_within,
    trend_table,
    two_factors,
    verdict,
)

COEFFICIENTS = {"spearman": stats.spearmanr, "kendall": stats.kendalltau}


@given(st.integers(0, 10_000), st.integers(5, 30), st.sampled_from(sorted(COEFFICIENTS)), st.booleans())
@settings(max_examples=30, deadline=None)
def test_coefficients_are_those_of_scipy(seed, n, method, tied):
    x, y = np.random.default_rng(seed).normal(size=(2, n))
    if tied:
        x, y = np.round(x), np.round(y)
    expected = COEFFICIENTS[method](x, y).statistic if np.ptp(x) and np.ptp(y) else np.nan
    found = correlate(x, y, method=method)
    assert found.coefficient == pytest.approx(expected, nan_ok=True)
    if not np.isnan(expected):
        assert -1 <= found.low <= found.coefficient <= found.high <= 1


@pytest.mark.parametrize("method", sorted(COEFFICIENTS))
def test_exact_p_values_are_those_of_scipy(method):
    random = np.random.default_rng(1)
    x, y = random.normal(size=6), np.array([0, 1, 1, -2, 0, 3])
    found = correlate(x, y, method=method)
    expected = stats.permutation_test(
        (x,),
        lambda one: abs(COEFFICIENTS[method](one, y).statistic),
        permutation_type="pairings",
        n_resamples=np.inf,
        alternative="greater",
    ).pvalue
    assert found.exact
    assert found.p_value == pytest.approx(expected)


def test_kendall_of_distinct_values_has_its_exact_p():
    x, y = np.random.default_rng(2).normal(size=(2, 8))
    expected = stats.kendalltau(x, y, method="exact").pvalue
    assert correlate(x, y, method="kendall").p_value == pytest.approx(expected)


@pytest.mark.parametrize("method", sorted(COEFFICIENTS))
def test_sampled_p_values_are_near_the_asymptotic_ones(method):
    x, y = np.random.default_rng(3).normal(size=(2, 60))
    found = correlate(x, y + 0.25 * x, method=method)
    assert not found.exact
    assert found.p_value == pytest.approx(COEFFICIENTS[method](x, y + 0.25 * x).pvalue, abs=0.015)
    assert found == correlate(x, y + 0.25 * x, method=method)


def test_orders_within_blocks_are_all_of_them():
    block = np.array([0, 1, 0, 1, 0])
    orders, exact = permutations_within(block)
    expected = {(a[0], b[0], a[1], b[1], a[2]) for a in permutations([0, 2, 4]) for b in permutations([1, 3])}
    assert exact
    assert len(orders) == 12
    assert {tuple(one) for one in orders.tolist()} == expected
    drawn, exact = permutations_within(np.repeat([0, 1], 20))
    assert not exact
    assert (np.sort(drawn[:, :20], axis=1) == np.arange(20)).all()
    assert (np.sort(drawn[:, 20:], axis=1) == np.arange(20, 40)).all()
    np.testing.assert_allclose(drawn[:, :20].mean(0), 9.5, atol=0.25)


@pytest.mark.parametrize("method", sorted(COEFFICIENTS))
def test_blocks_hide_what_differs_between_them(method):
    """Within each block y falls with x; between blocks both rise."""
    block = np.repeat([0, 1, 2], 4)
    x = np.tile([0, 1, 2, 3], 3) + 10 * block
    y = -x + 25.0 * block
    assert correlate(x, y, method=method).coefficient > 0
    found = correlate(x, y, block, method)
    assert found.coefficient == pytest.approx(-1)
    assert found.p_value == pytest.approx(2 / 24**3)
    assert found.least_p == pytest.approx(2 / 24**3)
    assert found.low == -1
    assert found.high < -0.8


@pytest.mark.parametrize("method", sorted(COEFFICIENTS))
def test_intervals_hold_the_truth(method):
    """Bivariate normal with correlation 0.6: rho = 6 / pi asin(r / 2), tau = 2 / pi asin(r)."""
    truth = 6 / np.pi * np.arcsin(0.3) if method == "spearman" else 2 / np.pi * np.arcsin(0.6)
    random, held = np.random.default_rng(4), 0
    for _ in range(150):
        x, noise = random.normal(size=(2, 6))
        found = correlate(x, 0.6 * x + 0.8 * noise, method=method)
        held += found.low <= truth <= found.high
    assert held >= 132


def test_too_few_or_constant_runs_settle_nothing():
    found = correlate(np.arange(3), np.arange(3))
    assert (found.low, found.high) == (-1, 1)
    assert found.p_value == pytest.approx(1 / 3)
    assert np.isnan(correlate(np.ones(6), np.arange(6)).p_value)
    assert np.isnan(correlate(np.array([np.nan]), np.array([1.0])).coefficient)
    known = correlate(np.array([1, 2, np.nan, 3, 4, 5]), np.array([1, 2, 9, 3, 4, 5]))
    assert known.n == 5
    assert known.coefficient == pytest.approx(1)


def test_holm_follows_its_recursion():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, np.nan, 0.5]), [0.04, 0.09, 0.09, np.nan, 0.5])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert len(holm([])) == 0


def test_verdicts():
    assert verdict(-0.9, -1, 0.01) == "as published"
    assert verdict(0.9, -1, 0.01) == "opposite"
    assert verdict(-0.9, -1, 0.06) == "not settled"
    assert verdict(np.nan, -1, np.nan) == "not settled"


def runs_of(seed, effect, strengths=4, seeds=5):
    random = np.random.default_rng([5, seed])
    strength = np.tile(np.arange(strengths), seeds).astype(float)
    block = np.repeat(np.arange(seeds), strengths)
    runs = {"strength": strength}
    for name in ("iou", "agreement", "gap", "accuracy"):
        sign = 1 if name == "accuracy" else -1
        runs[name] = sign * effect * strength + random.normal(size=len(strength)) + 3 * random.normal(size=seeds)[block]
    return runs, block


def test_planted_trends_are_found_as_published_and_reversed_ones_as_opposite():
    for effect, expected in ((2.0, "as published"), (-2.0, "opposite")):
        runs, block = runs_of(0, effect)
        found = {(one.x, one.y): one for one in trend_table(pd.DataFrame(runs), block)}
        assert all(
            found[pair].verdict == expected and not found[pair].reason
            for pair in PUBLISHED
            if pair in found and pair[0] == "strength"
        )
        assert ("strength", "kl") not in found
    few = trend_table({name: one[:4] for name, one in runs.items()})
    assert {one.verdict for one in few} == {"not settled"}
    assert "4 runs are too few" in few[0].reason
    constant = trend_table({"strength": np.zeros(8), "iou": np.arange(8)})
    assert constant[0].reason == "one of the two does not vary"


def test_absent_trends_are_rarely_settled():
    """Holm keeps the chance of any false trend of a table at 5 %."""
    published = {("strength", name): -1 for name in ("iou", "agreement", "gap", "accuracy")}
    wrong = 0
    for seed in range(120):
        runs, block = runs_of(seed, 0.0, strengths=4, seeds=2)
        found = trend_table(runs, block, published)
        wrong += any(one.verdict != "not settled" for one in found)
        assert all("chance gives as much" in one.reason for one in found if one.verdict == "not settled")
    assert wrong <= 12


def design(seeds=6):
    """The 2 x 2 of views, for each seed."""
    teachers, student = np.tile([0, 0, 1, 1], seeds), np.tile([0, 1, 0, 1], seeds)
    return teachers.astype(float), student.astype(float), np.repeat(np.arange(seeds), 4)


def test_two_factors_are_told_apart():
    teachers, student, block = design()
    random = np.random.default_rng(6)
    response = 5 * teachers + 0 * student + 0.5 * random.normal(size=24) + 4 * random.normal(size=6)[block]
    found = two_factors(response, teachers, student, block)
    assert found.first.low < 5 < found.first.high
    assert found.first.p_value < 0.001
    assert found.first.partial_eta2 > 0.9
    assert found.second.low < 0 < found.second.high
    assert found.second.p_value > 0.05
    assert found.interaction.p_value > 0.05
    assert found.degrees == 24 - 6 - 3
    assert found.r2 > 0.9


def test_two_factors_are_least_squares():
    """Against the t statistics of a plain regression, and partial eta squared = t^2 / (t^2 + df)."""
    random = np.random.default_rng(7)
    first, second, response = random.uniform(size=(3, 30))
    found = two_factors(response, first, second)
    a, b = ((one - one.min()) / np.ptp(one) - 0.5 for one in (first, second))
    x = np.column_stack([np.ones(30), a, b, a * b])
    beta, (squares,), *_ = np.linalg.lstsq(x, response)
    errors = np.sqrt(squares / 26 * np.diag(np.linalg.inv(x.T @ x)))
    for effect, value, error in zip((found.first, found.second, found.interaction), beta[1:], errors[1:], strict=True):
        assert effect.effect == pytest.approx(value)
        assert effect.high - effect.effect == pytest.approx(stats.t.ppf(0.975, 26) * error)
        t2 = (value / error) ** 2
        assert effect.partial_eta2 == pytest.approx(t2 / (t2 + 26))
        assert effect.p_value == pytest.approx(2 * stats.t.sf(np.sqrt(t2), 26), abs=0.03)
    assert found.r2 == pytest.approx(1 - squares / ((response - response.mean()) ** 2).sum())


def test_absent_factors_are_rarely_significant():
    teachers, student, block = design(3)
    random, hits = np.random.default_rng(8), 0
    for _ in range(120):
        found = two_factors(3 * student + random.normal(size=12), teachers, student, block)
        hits += found.first.p_value <= 0.05
    assert hits <= 13


def test_the_figure_holds_every_student_and_both_baselines_of_each_view():
    rows = [
        {"dataset": "set", "seed": seed, "ensemble": ensemble, "view": view, "teachers": 2 * (strength is not None),
         "strength": strength, "kl": 0.5, "teachers_iou": 0.4, "agreement": 0.8, "mutual_information": 1.0,
         "gap": 0.1 + 0.01 * seed, "accuracy": level}
        for seed in range(2) for view, shift in (("weak", 0.0), ("strong", 0.1))
        for ensemble, strength, level in (
            ("none+none", 0.0, 0.6 + shift), ("weak+weak", 1.0, 0.65 + shift), ("alone", None, 0.5 + shift),
            ("smoothed", None, 0.55 + shift),
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    runs = distilled_runs(table)
    columns = {name: runs[name].to_numpy(float) for name in ("strength", "iou", "accuracy")}
    figure = draw_trends(table, trend_table(columns, runs["block"].to_numpy()))
    accuracy = figure.axes[-1]
    lines = {(line.get_linestyle(), round(float(line.get_ydata()[0]), 3)) for line in accuracy.lines}
    assert {(":", 0.5), (":", 0.6), ("--", 0.55), ("--", 0.65)} <= lines
    points = [line for line in accuracy.lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_ydata()) for line in points) == 8
    assert [text.get_text() for text in accuracy.get_xticklabels()] == ["none", "weak", "strong", "stronger"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-2:] == ["student without teachers", "the same, labels smoothed"]


def test_one_run_of_each_leaves_the_effects_unsettled():
    found = two_factors(np.array([1.0, 2, 3, 5]), *design(1))
    assert found.degrees == 0
    assert found.first.effect == pytest.approx(2.5)
    assert np.isnan(found.first.p_value)
    assert found.first.high == np.inf
    same = two_factors(np.arange(8.0), np.tile([0, 1], 4), np.tile([0, 1], 4))
    assert np.isnan(same.second.effect)
    assert same.first.effect == pytest.approx(1)
    unvaried = two_factors(np.arange(8.0), np.zeros(8), np.tile([0, 1], 4))
    assert np.isnan(unvaried.first.effect)


def test_the_answer_says_when_augmentation_did_not_vary():
    runs = pd.DataFrame({"block": ["set/0", "set/1"], "strength": [1.0, 1.0], "iou": [0.4, 0.5]})
    lines = answer(trend_table({"strength": np.ones(2), "iou": np.array([0.4, 0.5])}), runs)
    assert lines[0].startswith("Runs: 2")
    assert lines[1:] == ["All ensembles are of one strength of augmentation, so that no trend with it can be told."]
