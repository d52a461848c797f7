"""Membership over a study: two attacks on each run, their intervals over seeds, and why there are none."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from workflow_scripts.metrics.membership import membership
from workflow_scripts.replication.membership import attack, membership_of_runs, membership_over_seeds

IMAGES, HELD_OUT = 700, 500


def study(effect: float = 0.0, seeds: int = 2, sizes: tuple[int, ...] = (16, 32, 64)):
    """Nested sets of each seed; images differ in their own distances, and members lie nearer by `effect`."""
    rng = np.random.default_rng(3)
    own, image = rng.normal(0, 0.5, IMAGES), np.arange(IMAGES)
    runs, measured, scored = [], [], []
    for seed in range(seeds):
        for size in sizes:
            member = (image // 64 == seed) & (image % 64 < size)
            distance = np.exp(own + rng.normal(0, 0.1, IMAGES) - effect * member)
            scored.append(pd.DataFrame({"image": image, "member": member, "distance": distance, "group": image}))
            runs.append({"generator": "gan", "dataset": "set", "size": size, "seed": seed, "space": "pixel"})
            controls = distance[IMAGES - HELD_OUT :]
            measured.append({"membership": asdict(membership(distance[member], controls))})
    return attack(runs, measured, scored)


def test_membership_over_seeds_is_beside_chance() -> None:
    fresh, told = membership_over_seeds(study()), membership_over_seeds(study(2.0))
    assert ((fresh["auc_low"] < 0.5) & (fresh["auc_high"] > 0.5)).all()
    assert (fresh["lira_told_at_1_low"] < 1.0).all()
    assert (told["auc_low"] > 0.8).all()
    assert (told["told_at_1_low"] > 30).all()


def test_lira_tells_members_that_distance_does_not() -> None:
    table = membership_over_seeds(study(0.6))
    assert (table["lira_auc"] > table["auc"] + 0.1).all()
    assert (table["lira_auc"] > 0.95).all()


def test_one_seed_has_no_interval_and_lira_by_its_smaller_sizes_alone() -> None:
    table = membership_over_seeds(study(0.6, seeds=1))
    assert table[["auc_low", "told_at_1_low"]].isna().all(axis=None)
    assert table["auc_reason"].str.contains("a second seed").all()
    assert table["lira_auc"].notna().tolist() == [False, True, True]
    assert "smaller size or a second seed" in table["lira_auc_reason"][0]


def test_each_run_has_a_row_for_each_attack() -> None:
    rows = membership_of_runs(study(2.0, seeds=1, sizes=(4, 16, 64)))
    assert rows["attack"].tolist() == ["distance", "lira"] * 3
    assert rows["members"].tolist() == [4, 0, 16, 12, 64, 60]
    known = rows.dropna(subset="told")
    assert (known["told"] / known["members"] * 100).round(6).tolist() == known["told_percentage"].round(6).tolist()
    assert (rows["reason"] != "").tolist() == [True, True, False, False, False, False]
