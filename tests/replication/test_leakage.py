"""Leakage of a split: near-duplicates across it are told, and serve as no control."""

import numpy as np
import pandas as pd

from workflow_scripts.replication.leakage import leaked, mark, sentences
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


def test_the_answer_tells_how_many_leak_and_where_they_are_listed() -> None:
    table = pd.DataFrame({"seed": [0, 0, 0, 1], "held_out": [5, 5, 6, 5]})
    lines = sentences({"a": table, "b": table[:0]}, {"a": 2000, "b": 100}, ["pixel", "perceptual"]).splitlines()
    assert lines[0].startswith("- Of the 2,000 held-out images of a, up to 2 (by seed) are near-duplicates of training")
    assert "`results/near_duplicates/a.csv` lists them" in lines[0]
    assert lines[1] == (
        "- Of the 100 held-out images of b, none are near-duplicates of training images, searched in pixel and "
        "perceptual."
    )
