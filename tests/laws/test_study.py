"""A study's laws from its table: planted ones come back, what is missing is said, and bad tables are named."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.core.errors import InputError
from workflow_scripts.laws.study import StudyLaws, fit_study, read_table

PUBLISHED = "resources/published/feng2021_replication.csv"
RATES = {"biggan": 2.0, "stylegan2": 1.2}


def make_table() -> pd.DataFrame:
    """Two generators, six sizes, two seeds, two thresholds; copies fall as size^-rate from 90 % at 16 images."""
    random = np.random.default_rng(0)
    rows = []
    for threshold, background in (("calibrated-0.01", 1.0), ("rms-0.1415", 20.0)):
        for generator, rate in RATES.items():
            for size in (8, 16, 32, 64, 128, 256):
                for seed in (0, 1):
                    copied = 0.9 * min(1.0, np.exp(rate * np.log(16 / size) + 0.1 * random.standard_normal()))
                    share = background / 100 + (1 - background / 100) * copied
                    # As measured: sets of at most 20 images are too small for their dimension.
                    dimension = 2 + 1.5 * np.log(size) + 0.05 * random.standard_normal() if size > 20 else np.nan
                    rows.append(
                        {
                            "generator": generator,
                            "dataset": "fashion-mnist",
                            "size": size,
                            "seed": seed,
                            "space": "pixel",
                            "threshold": threshold,
                            "threshold_rms": 0.07 if background == 1 else 0.1415,
                            "samples": 1024,
                            "replicas": random.binomial(1024, share),
                            "background_percentage": background,
                            "held_out": 1000,
                            "intrinsic_dimension": dimension,
                            "intrinsic_dimension_low": dimension - 0.1,
                            "intrinsic_dimension_high": dimension + 0.1,
                        }
                    )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return make_table()


@pytest.fixture(scope="module")
def laws(table: pd.DataFrame) -> StudyLaws:
    return fit_study(table, 1.0)


def test_planted_rates_lie_inside_their_intervals(laws: StudyLaws) -> None:
    rows = laws.fits.query("axis == 'ln_size' and curve == 'exponential' and threshold == 'calibrated-0.01'")
    assert rows["identified"].all()
    for row in rows.to_dict("records"):
        assert row["rate_low"] <= RATES[row["generator"]] <= row["rate_high"]


def test_the_first_space_and_threshold_lead(laws: StudyLaws) -> None:
    assert laws.summary["leading"]["threshold"] == "calibrated-0.01"
    assert set(laws.leading) == {"dimension", "size"}
    assert all(fit.points.background[0] == 0.01 for fits in laws.leading["size"].values() for fit in fits)


def test_dimensions_that_could_not_be_measured_are_left_out(laws: StudyLaws) -> None:
    rows = laws.fits.query("axis == 'dimension'")
    assert (rows["sizes"] == 4).all()
    assert (laws.fits.query("axis == 'ln_size'")["sizes"] == 6).all()


def test_a_b_c_belong_to_the_dimension_alone(laws: StudyLaws) -> None:
    published = laws.fits.eval("axis == 'dimension' and curve == 'exponential'")
    assert laws.fits[~published][["a", "b", "c"]].isna().all(axis=None)


def test_safe_sizes_hold_the_planted_ones(laws: StudyLaws) -> None:
    rows = [row for row in laws.summary["safe_sizes"] if row["threshold_rms"] == 0.07]
    assert [row["generator"] for row in rows] == list(RATES)
    for row in rows:
        planted = 16 * (0.9 / 0.01) ** (1 / RATES[row["generator"]])
        assert row["low"] <= planted <= row["high"]
        assert bool(row["extrapolated"]) == (row["size"] > 256)
        assert sum(value for key, value in row.items() if key.startswith("weight_")) == pytest.approx(1.0)


def test_whether_copying_falls_is_answered_for_each_pair_and_all(laws: StudyLaws) -> None:
    rows = [row for row in laws.summary["trends"] if row["threshold"] == "calibrated-0.01"]
    assert [row["generator"] for row in rows] == [*RATES, "all"]
    assert all(row["falls"] for row in rows)


def test_the_summary_is_strict_json(laws: StudyLaws) -> None:
    json.dumps(laws.summary, allow_nan=False)


def test_without_dimensions_there_are_laws_of_size_alone(table: pd.DataFrame) -> None:
    bare = table.query("threshold == 'calibrated-0.01'").assign(intrinsic_dimension=np.nan)
    study = fit_study(bare, 1.0)
    assert set(study.leading) == {"size"}


def test_a_study_of_one_size_has_no_law_and_says_so(table: pd.DataFrame) -> None:
    study = fit_study(table.query("size == 64"), 1.0)
    assert not study.fits["identified"].any()
    assert study.fits["notes"].str.contains("at least 3").all()
    assert all("at least 3" in row["reason"] for row in study.summary["safe_sizes"])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: table.drop(columns="replicas"), "column replicas missing"),
        (lambda table: table.iloc[:0], "no rows"),
        (lambda table: table.assign(replicas=2000), "row 2"),
        (lambda table: table.assign(background_percentage=-1.0), "background_percentage"),
    ],
)
def test_a_bad_table_is_named(table: pd.DataFrame, tmp_path: Path, spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "table.csv"
    spoil(table).to_csv(path, index=False)
    with pytest.raises(InputError, match=words) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
