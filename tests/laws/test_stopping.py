"""When copying begins: onsets between moments, their law of the size, and what it says to a person."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.laws.drawing_stopping import draw_stopping
from workflow_scripts.laws.stopping import Training, fit_onsets, onset_of, read_trainings, rising
from workflow_scripts.laws.stopping_answer import answers, onset_table, stop_all, summarise

STEPS = np.arange(1, 9) * 100.0


def training(size: float, percentages: list[float], chance: float = 0.01) -> Training:
    return Training(size, 0, STEPS, np.round(np.array(percentages) * 2.56), np.full(8, 256.0), chance)


def study(exponent: float, sizes: tuple[int, ...] = (8, 11, 16, 23, 32), middle: float = 350.0) -> pd.DataFrame:
    """Moments of runs whose copies pass 1 % at `middle` steps at 16 images, and at its power for others."""
    tables, runs = [], []
    for size in sizes:
        onset = middle * (size / 16) ** exponent
        share = 1 - 0.99 ** ((STEPS / onset) ** 5)
        tables.append(
            pd.DataFrame(
                {
                    "step": STEPS.astype(int), "samples": 256, "replicas": np.round(256 * share).astype(int),
                    "percentage": 100 * share, "low": 90 * share, "high": 100 * share + 1,
                    "background_percentage": 1.0, "frechet": 5 - STEPS / 200,
                }
            )
        )  # fmt: skip
        runs.append({"generator": "biggan", "dataset": "sprites", "size": size, "seed": 0, "space": "pixel"})
    return read_trainings(tables, runs)


def test_rising_values_stay_and_falling_ones_are_pooled_by_weight() -> None:
    assert rising(np.array([1.0, 2.0, 3.0]), np.ones(3)).tolist() == [1, 2, 3]
    assert rising(np.array([3.0, 1.0, 5.0]), np.array([1.0, 3.0, 1.0])).tolist() == [1.5, 1.5, 5]


def test_an_onset_lies_between_moments_that_show_it() -> None:
    onset = onset_of(training(16, [0, 0, 0, 0.4, 8, 9, 16, 23]), 1.0)
    assert (onset.after, onset.before) == (300, 500)
    assert onset.within


def test_a_run_that_copies_from_the_first_moment_or_never_is_censored() -> None:
    early, never = onset_of(training(16, [50] * 8), 1.0), onset_of(training(16, [0] * 8), 1.0)
    assert (early.after, early.before) == (0, 100)
    assert (never.after, never.before) == (800, np.inf)
    assert not early.within
    assert not never.within


def test_chance_alone_is_no_onset() -> None:
    assert onset_of(training(16, [0.8] * 8), 1.0).likelihood[-1] == 1


@pytest.mark.parametrize(("exponent", "account"), [(1.0, "proportional"), (0.0, "unmoved")])
def test_the_exponent_of_exact_runs_is_found(exponent: float, account: str) -> None:
    stop = stop_all(study(exponent), 1.0)["biggan", "sprites"]
    low, high = stop.law.interval
    assert low < exponent < high
    assert not low < 1 - exponent < high  # the rival account is excluded
    assert max(stop.law.weights, key=lambda name: stop.law.weights[name]) == account
    assert sum(stop.law.weights.values()) == pytest.approx(1)
    low, _, high = stop.law.steps(16)
    assert low < 350 < high


def test_runs_without_an_onset_are_told_what_they_lack() -> None:
    never = [training(size, [0] * 8) for size in (16, 32, 64)]
    assert "train longer, or on sizes below 16" in fit_onsets(never, 1.0)[1].reason
    early = [training(size, [60] * 8) for size in (2, 4, 8)]
    assert "add sizes above 8" in fit_onsets(early, 1.0)[1].reason


def test_the_answer_names_the_size_the_steps_and_what_stopping_costs() -> None:
    stops = stop_all(study(1.0), 1.0)
    [line] = answers(stops, 1.0)["sprites"]
    assert "with 23 images, more than 1 % of samples are copies" in line
    assert "of 800 steps" in line
    assert "Fréchet distance" in line
    assert "instead of 1 at the end" in line
    assert "in proportion to the size" in line
    assert onset_table(stops)["expected"].is_monotonic_increasing
    [law] = summarise(stops, 1.0)["laws"]
    assert law["low"] < law["exponent"] < law["high"]


def test_studies_with_and_without_a_law_are_drawn() -> None:
    for table in (study(1.0), study(1.0, sizes=(8,))):
        stops = stop_all(table, 1.0)
        figure = draw_stopping(stops, 1.0)
        [axes] = figure.axes
        assert len(axes.get_legend_handles_labels()[1]) == table["size"].nunique()
        figure.savefig("/dev/null", format="svg")
