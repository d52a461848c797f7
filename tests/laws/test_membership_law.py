"""Membership against size: a planted private size comes back, and what is missing is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.core.errors import InputError
from workflow_scripts.laws.membership import answers, fit_membership, private_sizes, read_members

SIZES = (16, 32, 64, 128, 256, 512)


def members(sizes: tuple[int, ...] = SIZES, seeds: int = 2) -> pd.DataFrame:
    """Told members fall from 80 % at 16 images in inverse proportion to the size; LiRA has nobody to tell."""
    random = np.random.default_rng(0)
    rows = []
    for size in sizes:
        for seed in range(seeds):
            share = 0.8 * np.exp(-np.log(size / 16) + 0.1 * random.standard_normal())
            head = {"generator": "gan", "dataset": "set", "size": size, "seed": seed, "space": "pixel"}
            told = random.binomial(size, 0.01 + 0.99 * min(share, 1.0))
            rows.append(head | {"attack": "distance", "members": size, "told": told, "reason": ""})
            rows.append(head | {"attack": "lira", "members": 0, "told": np.nan, "reason": "needs a second seed"})
    return pd.DataFrame(rows)


def test_the_private_size_holds_the_planted_one() -> None:
    table = members()
    laws = fit_membership(table, 1.0)
    assert laws is not None
    by_distance, by_lira = private_sizes(table, laws)
    assert by_distance["low"] < 16 * 80 < by_distance["high"]
    assert (by_lira["size"], by_lira["reason"]) == (None, "needs a second seed")
    (line, meaning) = answers([by_distance, by_lira], 1.0)["set"]
    assert "by distance, a set is private from" in line
    assert "by LiRA, no private size can be named: needs a second seed" in line
    assert "at most 1 % of the training images can be told" in meaning
    assert "training image" not in laws.summary["trends"][0]["sentence"]
    assert laws.summary["trends"][0]["sentence"].startswith("membership falls as the training set grows")


def test_too_few_sizes_identify_nothing_and_say_what_would() -> None:
    table = members((16, 32), seeds=1)
    row = private_sizes(table, fit_membership(table, 1.0))[0]
    assert row["size"] is None
    assert "at least 3 are needed" in row["reason"]


def test_where_every_image_is_told_larger_sizes_are_asked_for() -> None:
    table = members((8, 10, 12))
    table["told"] = table["members"].where(table["attack"] == "distance")
    row = private_sizes(table, fit_membership(table, 1.0))[0]
    assert row["reason"] == "every training image is told at every size: add larger sizes"


def test_nobody_told_anywhere_is_a_reason_and_no_law() -> None:
    table = members().assign(told=np.nan, reason="needs 100 controls")
    assert fit_membership(table, 1.0) is None
    assert [row["reason"] for row in private_sizes(table, None)] == ["needs 100 controls"] * 2


def test_a_table_without_any_reason_is_read(tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    members().query("attack == 'distance'").to_csv(path, index=False)
    assert (read_members(path)["reason"] == "").all()


def test_a_table_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    members().drop(columns="told").to_csv(path, index=False)
    with pytest.raises(InputError, match="column told missing"):
        read_members(path)
