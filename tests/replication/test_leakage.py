"""Leakage of a split: near-duplicates across it are told, and serve as no control."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.conftest import run_script
from workflow_scripts.core.files import read_csv, read_parquet, write_npy, write_parquet
from workflow_scripts.replication.leakage import leaked, mark, sentences, without_leaks
from workflow_scripts.replication.measures import measure


def test_a_pair_leaks_if_one_is_held_out_and_the_other_trained_on() -> None:
    pairs = pd.DataFrame({"query": [8, 8, 9, 7], "reference": [1, 9, 5, 2], "distance": [0.0, 0.1, 0.2, 0.3]})
    split = leaked(pairs, np.array([1, 2, 3]), np.array([8, 9]))
    assert split.to_dict("records") == [{"held_out": 8, "training": 1, "distance": 0.0}]


def test_leaked_images_set_no_threshold_and_are_no_control() -> None:
    """A hundred held-out images of two hundred are equal to training images, but for those of another subset."""
    training, held_out = np.arange(10), np.arange(10, 210)
    distance = np.where(np.arange(200) < 100, 0.0, np.linspace(0.5, 1, 200))
    controls = pd.concat(
        [
            pd.DataFrame({"query": held_out, "rank": rank, "index": 0, "distance": distance * rank, "kind": "held_out"})
            for rank in (1, 2)
        ]
        + [pd.DataFrame({"query": training, "rank": 1, "index": 0, "distance": 0.8, "kind": "training"})]
    )
    pairs = pd.DataFrame({"held_out": held_out[:100], "training": np.where(np.arange(100) < 99, 3, 999)})
    marked = mark(controls, pairs, training)
    assert marked["kind"].value_counts().to_dict() == {"near_duplicate": 198, "held_out": 202, "training": 10}
    neighbours = pd.concat(
        [pd.DataFrame({"query": range(50), "rank": rank, "index": 1, "distance": 0.9 * rank}) for rank in (1, 2)]
    )
    scored = pd.DataFrame({"image": np.arange(210), "distance": 0.9})
    scored = scored.assign(member=scored["image"] < 10, held_out=scored["image"] >= 10)
    measured = measure(neighbours, marked, scored, np.zeros(210, int), [{"calibrated": 0.05}])
    [threshold] = measured["thresholds"]
    assert threshold["background"]["of"] == 101
    assert threshold["threshold"]["rms"] > 0.7
    assert measured["membership"]["controls"] == 101


def test_in_a_set_that_repeats_itself_near_duplicates_are_chance() -> None:
    """Fewer than half of the held-out images would be left."""
    held_out = np.arange(10, 20)
    controls = pd.DataFrame({"query": held_out, "rank": 1, "index": 0, "distance": 0.0, "kind": "held_out"})
    pairs = pd.DataFrame({"held_out": held_out[:6], "training": 3})
    assert (mark(controls, pairs, np.arange(10))["kind"] == "held_out").all()
    assert (mark(controls, pairs[:5], np.arange(10))["kind"] == "near_duplicate").sum() == 5
    scored = pd.DataFrame({"image": np.arange(20), "member": np.arange(20) < 10, "held_out": np.arange(20) >= 10})
    assert len(without_leaks(scored, pairs)) == 20
    assert len(without_leaks(scored, pairs[:5])) == 15
    [line] = sentences({"a": pairs.assign(seed=0)}, {"a": 10}, ["pixel"]).splitlines()
    assert "near-duplicates are what chance gives, and are kept" in line


def test_the_answer_tells_how_many_leak_and_where_they_are_listed() -> None:
    table = pd.DataFrame({"seed": [0, 0, 0, 1], "held_out": [5, 5, 6, 5]})
    lines = sentences({"a": table, "b": table[:0]}, {"a": 2000, "b": 100}, ["pixel", "perceptual"]).splitlines()
    assert lines[0].startswith("- Of the 2,000 held-out images of a, up to 2 (by seed) are near-duplicates of training")
    assert "`results/near_duplicates/a.csv` lists them" in lines[0]
    assert lines[1] == (
        "- Of the 100 held-out images of b, none are near-duplicates of training images, searched in pixel and "
        "perceptual."
    )


def test_the_scripts_find_planted_pairs_in_any_space_and_mark_them_in_all(tmp_path: Path) -> None:
    """Image 150 is image 3 with noise, and 151 lies beside image 4 in the second space alone."""
    random = np.random.default_rng(0)
    images, features = random.integers(0, 256, (160, 8, 8, 1)), random.normal(size=(160, 20)).astype(np.float32)
    images[150] = (images[3] + random.integers(0, 5, (8, 8, 1))).clip(0, 255)
    features[151] = features[4] + np.float32(0.01)
    spaces = {"pixel": images.astype(np.uint8), "own": features}
    for name, vectors in spaces.items():
        write_npy(tmp_path / f"{name}.npy", vectors)
    write_parquet(
        tmp_path / "labels.parquet", pd.DataFrame({"origin": [f"{i}.png" for i in range(160)], "group": range(160)})
    )
    write_npy(tmp_path / "order.npy", np.arange(120))
    write_npy(tmp_path / "held_out.npy", np.arange(120, 160))
    split = {"order": str(tmp_path / "order.npy"), "held_out": str(tmp_path / "held_out.npy")}
    files = {"images": [str(tmp_path / f"{name}.npy") for name in spaces], "labels": str(tmp_path / "labels.parquet")}
    table = tmp_path / "twins.csv"
    run_script(
        "replication/find_near_duplicates",
        {**files, "orders": [split["order"]], "all_held_out": [split["held_out"]]},
        {"table": str(table)},
        {"spaces": list(spaces), "seeds": [7]},
        dataset="mine",
    )
    twins = read_csv(table)
    assert twins[["seed", "space", "held_out", "training_file"]].to_numpy().tolist() == [
        [7, "pixel", 150, "3.png"], [7, "own", 151, "4.png"],
    ]  # fmt: skip
    outputs = {kind: [str(tmp_path / f"{name}-{kind}") for name in spaces] for kind in ("neighbours", "quality")}
    run_script(
        "replication/find_control_neighbours",
        {**files, **split, "near_duplicates": str(table), "shards": []},
        outputs,
        {"k": 2},
        size="4",
        seed="7",
    )
    for path in outputs["neighbours"]:
        rows = read_parquet(path)
        assert rows.loc[rows["kind"] == "near_duplicate", "query"].unique().tolist() == [150]  # 4 is not among four
        assert (rows["kind"] == "held_out").sum() == 2 * 39
