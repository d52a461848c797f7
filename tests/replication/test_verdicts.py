"""Verdicts on studies of known truth: distances are drawn, measured as the stage measures them, and judged."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.replication.measures import measure
from workflow_scripts.replication.summary import copies_over_seeds
from workflow_scripts.replication.verdicts import COPIES, DISAGREES, NONE, UNKNOWN, answer, verdicts

THRESHOLDS = [{"calibrated": 0.01}, {"calibrated": 0.05}]


def table(distance, images, count):
    """Neighbours of rank 1 and 2 in a training set of `count` images."""
    queries = np.arange(len(distance))
    first = pd.DataFrame({"query": queries, "rank": 1, "index": images % count, "distance": distance})
    return pd.concat([first, first.assign(rank=2, index=(images + 1) % count, distance=distance * 1.1)])


def run(rng, copied=0.0, blurred=False, told=1.0, samples=600, held_out=500, size=40, people=None):
    """A run of which a share is copied; blurred samples all lie rather near; members are `told` times as far."""
    draw = lambda count: rng.gamma(9, 0.02, count)  # noqa: E731
    own = 0.1 + 0.2 * draw(samples) if blurred else draw(samples)
    sample = np.where(rng.random(samples) < copied, 1e-4, own)
    kinds = {"held_out": draw(held_out), "training": draw(size)}
    controls = pd.concat(
        table(
            distance, rng.integers(0, size, len(distance)) if kind == "held_out" else np.arange(size) + 1, size
        ).assign(kind=kind)
        for kind, distance in kinds.items()
    )
    scored = pd.DataFrame(
        {"image": np.arange(size + held_out), "member": np.arange(size + held_out) < size}
        | {"held_out": np.arange(size + held_out) >= size}
        | {"distance": np.concatenate([told * draw(size), draw(held_out)])}
    )
    neighbours = table(sample, rng.integers(0, size, samples), size)
    groups = people and np.arange(size + held_out) % people
    return measure(neighbours, controls, scored, np.zeros(size, dtype=int), THRESHOLDS, groups), scored


def study(seeds=2, spaces=("pixel",), sizes=(8, 16, 32), **settings):
    rng = np.random.default_rng(5)
    runs, measured, scored = [], [], []
    for space in spaces:
        for size in sizes:
            for seed in range(seeds):
                chosen = {key: x.get(space, 0.0) if isinstance(x, dict) else x for key, x in settings.items()}
                runs.append({"generator": "gan", "dataset": "set", "size": size, "seed": seed, "space": space})
                measures, rows = run(rng, **chosen)
                measured.append(measures)
                scored.append(rows)
    copies = copies_over_seeds(runs, measured)
    return verdicts(runs, measured, copies), copies


def test_copies_are_told_with_their_interval_over_seeds():
    judged, copies = study(copied=0.1)
    assert {item.verdict for item in judged} == {COPIES}
    assert all(item.low < 10.9 < item.high for item in judged)
    assert "95 % interval over 2 seeds" in judged[0].sentence
    chance = copies["threshold"].map({"calibrated-0.01": 1, "calibrated-0.05": 5})
    assert (copies["background_percentage"] == chance).all()


def test_fresh_samples_have_no_copies_and_a_bound():
    judged, *_ = study(seeds=3)
    assert {item.verdict for item in judged} == {NONE}
    assert all("at most" in item.sentence and item.high < 10 for item in judged)


@pytest.mark.parametrize(
    ("settings", "which"),
    [
        ({"blurred": True}, "samples lie nearer to the training images than held-out images do: C_T"),
        ({"told": 0.5}, "samples tell which images the generator was trained on: membership AUC"),
    ],
)
def test_contrary_evidence_is_named(settings, which):
    judged, *_ = study(**settings)
    assert {item.verdict for item in judged} == {DISAGREES}
    assert all("no more than by chance" in item.sentence and which in item.sentence for item in judged)


def test_a_space_that_finds_no_copies_contradicts_one_that_does():
    judged, *_ = study(spaces=("pixel", "simclr"), copied={"pixel": 0.3})
    assert {item.verdict for item in judged} == {DISAGREES}
    assert "but replicas at calibrated-0.01 in simclr" in judged[0].sentence


def test_a_space_that_shows_copying_otherwise_contradicts_nothing():
    """Samples may be nearer than held-out images to what they copy, and yet all be farther than a narrow threshold."""
    judged, *_ = study(spaces=("pixel", "simclr"), copied={"pixel": 0.3}, told={"pixel": 1.0, "simclr": 0.4})
    assert {item.verdict for item in judged} == {COPIES}


def test_copies_of_one_seed_are_a_fact_and_their_absence_is_not():
    copying, fresh = study(seeds=1, copied=0.2)[0][0], study(seeds=1)[0][0]
    assert copying.verdict == COPIES
    assert "one seed does not show how far runs differ" in copying.sentence
    assert fresh.verdict == UNKNOWN
    assert "a second seed" in fresh.sentence


def test_held_out_images_of_few_people_are_refused_with_how_many_would_be_enough():
    judged, *_ = study(copied=0.1, people=5)
    assert judged[0].verdict == UNKNOWN
    assert "5 groups; 8 would be enough" in judged[0].sentence


def test_few_images_are_refused_with_what_would_be_enough():
    judged, *_ = study(samples=99)
    assert judged[0].verdict == UNKNOWN
    assert "99 samples and 500 held-out images; 100 of each would be enough" in judged[0].sentence


def test_the_answer_tells_sizes_that_are_copied_in_one_sentence():
    [line] = answer(study(copied=0.1)[0]).splitlines()
    assert line.startswith("- gan copies set with 8, 16 and 32 training images: ")
    judged = study(copied=0.1)[0]
    for item in judged:  # no percentage of two runs without what another would copy
        assert f"{item.percentage:.1f} % ({item.low:.1f} to {item.high:.1f})" in line
    assert "(95 % intervals over seeds)" in line
    assert "(no interval over seeds), by chance 1.0 %" in answer(study(seeds=1, copied=0.1)[0])


def test_the_answer_has_a_sentence_for_each_other_size():
    lines = answer(study(copied=0.01)[0]).splitlines()
    assert [line.split(" images of set: ")[0] for line in lines] == [f"- gan on {size}" for size in (8, 16, 32)]
