"""Effects over seeds, the primary claims, and the sentences that answer them, against planted and absent effects."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from workflow_scripts.distillation.answers import claim_sentence, headline
from workflow_scripts.distillation.drawing import RESPONSES, draw_trends
from workflow_scripts.distillation.trends import (
    NEAR_ZERO,
    PRIMARY,
    Effect,
    answer_claims,
    correlation,
    distilled,
    factor_effects,
    over_seeds,
    seeds_needed,
)

RUNGS = ["none", "weak", "strong", "stronger"]


def study(seeds=5, strength=0.0, view=0.0, interaction=0.0, scatter=0.01, rungs=4, random=0):
    """Students of an ensemble at each rung and two views: a measure with planted effects from least to greatest."""
    draw = np.random.default_rng([5, random])
    rows = []
    for seed in range(seeds):
        for rung in range(rungs):
            own = scatter * draw.normal()  # what the students of one ensemble share
            for place in range(2):
                a, b = (rung / (rungs - 1) if rungs > 1 else 0.0), float(place)
                value = 0.5 + strength * a + view * b + interaction * a * b + own + 0.2 * scatter * draw.normal()
                row = {"dataset": "set", "seed": seed, "ensemble": RUNGS[rung], "strength": rung, "teachers": 2}
                rows.append(row | {"view": RUNGS[1 + place], "view_strength": 1 + place, "value": value + 0.3 * seed})
    return pd.DataFrame(rows)


def test_effects_are_the_least_squares_slopes_of_each_seed():
    students = study(2, 0.3, 0.2, 0.1)
    effects = factor_effects(students, "value")
    for seed, row in effects.iterrows():
        part = students[students["seed"] == seed]
        means = part.groupby("strength")["value"].mean()
        assert row["strength"] == pytest.approx(3 * stats.linregress(means.index, means).slope)
        apart = part.pivot(index="strength", columns="view", values="value")
        difference = apart["strong"] - apart["weak"]
        assert row["view"] == pytest.approx(difference.mean())
        assert row["interaction"] == pytest.approx(3 * stats.linregress(difference.index, difference).slope)


def test_the_interval_is_student_s_t_and_pools_the_scatter_over_data_sets():
    values = np.random.default_rng(0).normal(1, 2, 7)
    effect = over_seeds(values, np.zeros(7))
    expected = stats.ttest_1samp(values, 0)
    assert (effect.value, effect.p_value) == pytest.approx((values.mean(), expected.pvalue))
    assert (effect.low, effect.high) == pytest.approx(tuple(expected.confidence_interval()))
    both = over_seeds(np.concatenate([values, values + 100]), np.repeat([0, 1], 7))
    assert both.value == pytest.approx(values.mean() + 50)
    assert both.scatter == pytest.approx(values.std(ddof=1))
    assert both.degrees == 12


def test_two_seeds_are_not_enough_and_unknown_values_do_not_count():
    assert np.isnan(over_seeds(np.array([1.0, 2.0]), np.zeros(2)).value)
    assert np.isnan(over_seeds(np.array([1.0, 2.0, np.nan]), np.zeros(3)).low)
    assert np.isnan(over_seeds(np.arange(3.0), np.arange(3)).value)


def test_correlations_are_those_within_seeds():
    students = study(4, 0.3)
    students["other"] = -students["value"] + 5 * students["seed"]
    assert correlation(students, "value", "value")[0] == pytest.approx(1)
    coefficient, effect = correlation(students, "other", "value")
    assert coefficient < -0.9
    assert effect.p_value < 0.01


def primary(**effects):
    students = study(**effects)
    return students.assign(**dict.fromkeys(PRIMARY, students["value"]))


@pytest.mark.parametrize(
    ("strength", "answer", "words"),
    [
        (-0.2, "as published", "as Guo et al. (2024) report"),
        (0.2, "opposite", "the opposite of what"),
        (0.0, "bounded near zero", "hardly changes"),
    ],
)
def test_planted_effects_get_their_answers(strength, answer, words):
    claims = answer_claims(primary(strength=strength))
    assert [claim.answer for claim in claims] == [answer] * 3
    for claim in claims:
        assert claim.seeds_needed is None
        assert words in claim_sentence(claim, 4, 5)
        assert claim.effect.low < strength < claim.effect.high
    assert "none-1" not in headline(claims, 4)


def test_too_little_data_says_what_would_be_enough_and_no_number_of_the_effect():
    few = answer_claims(primary(seeds=2, strength=-0.2))
    assert {claim.answer for claim in few} == {"not enough data"}
    assert "at least 3 seeds (`distillation.seeds`), there are 2" in claim_sentence(few[0], 4, 2)
    alike = answer_claims(primary(rungs=1))
    assert "two strengths of augmentation" in claim_sentence(alike[0], 1, 5)
    assert "same augmentation" in headline(alike, 1)
    noisy = answer_claims(primary(scatter=0.2, strength=-0.1))
    sentence = claim_sentence(noisy[0], 4, 5)
    assert "5 seeds leave it open" in sentence
    assert "points" not in sentence
    assert headline(noisy, 4).startswith("Not enough data to say whether")


def test_the_seeds_asked_for_are_those_that_settle_the_claim():
    effect = Effect(-0.1, -0.3, 0.1, 0.3, scatter=0.1, degrees=2)
    needed = seeds_needed(effect, 0.95)
    half = {seeds: stats.t.ppf(0.975, seeds - 1) * 0.1 / np.sqrt(seeds) for seeds in (needed - 1, needed)}
    assert half[needed] < 0.1 < half[needed - 1]
    near = seeds_needed(replace(effect, value=0.0), 0.95)
    assert stats.t.ppf(0.975, near - 1) * 0.1 / np.sqrt(near) < NEAR_ZERO
    assert seeds_needed(replace(effect, scatter=5.0), 0.95) is None


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_absent_effects_are_rarely_found_however_much_an_ensemble_shares(shared):
    """The students of an ensemble, and ensembles that share teachers, are no independent runs."""
    draw, wrong = np.random.default_rng(8), 0
    base = study(4)
    for _ in range(200):
        teachers = draw.normal(size=(4, 5))  # an ensemble at rung r has the teachers r and r + 1
        common = shared * (teachers[base["seed"], base["strength"]] + teachers[base["seed"], base["strength"] + 1])
        effects = factor_effects(base.assign(value=common + draw.normal(size=len(base))), "value")
        wrong += over_seeds(effects["strength"].to_numpy(), np.zeros(4)).p_value <= 0.05
    assert wrong <= 20


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
    figure = draw_trends(table, distilled(table), {"iou": "opposite"})
    accuracy = figure.axes[-1]
    assert len(figure.axes) == len(RESPONSES)
    lines = {(line.get_linestyle(), round(float(line.get_ydata()[0]), 3)) for line in accuracy.lines}
    assert {(":", 0.5), (":", 0.6), ("--", 0.55), ("--", 0.65)} <= lines
    points = [line for line in accuracy.lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_ydata()) for line in points) == 8
    assert [text.get_text() for text in accuracy.get_xticklabels()] == RUNGS
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-2:] == ["student without teachers", "the same, labels smoothed"]
