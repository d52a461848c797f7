"""Selection: never more than wanted, in order, within the budget, and unfilled classes are reported."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.rebalancing.selection import select_by_classifier, select_random

NAMES = ("a", "b", "c")


@st.composite
def cases(draw):
    labels = np.array(draw(st.lists(st.integers(0, 2), max_size=40)), dtype=np.int64)
    probabilities = np.array([draw(st.floats(0, 1)) for _ in labels])
    wanted = np.array([draw(st.integers(0, 10)) for _ in NAMES])
    return labels, probabilities, draw(st.floats(0, 1)), wanted, draw(st.none() | st.integers(0, 15))


@given(cases())
def test_selection_is_what_a_plain_loop_selects(case) -> None:
    labels, probabilities, threshold, wanted, budget = case
    chosen, report = [], {}
    for label, name in enumerate(NAMES):
        kept = looked = 0
        for index in np.flatnonzero(labels == label):
            if kept == wanted[label] or (budget is not None and looked == budget):
                break
            looked += 1
            if probabilities[index] > threshold:
                chosen.append(index)
                kept += 1
        report[name] = (wanted[label], kept, looked, kept == wanted[label])
    selection = select_by_classifier(labels, probabilities, threshold, wanted, NAMES, budget)
    assert selection.indices.tolist() == sorted(chosen)
    table = selection.report.set_index("class")
    assert {name: tuple(table.loc[name]) for name in NAMES} == report


@given(cases())
def test_random_selection_takes_the_first(case) -> None:
    labels, _, _, wanted, budget = case
    selection = select_random(labels, wanted, NAMES, budget)
    for label in range(3):
        there = np.flatnonzero(labels == label)[: wanted[label]][:budget]
        np.testing.assert_array_equal(selection.indices[labels[selection.indices] == label], there)


def test_a_second_step_selects_anew_from_the_same_candidates() -> None:
    labels, wanted = np.array([0, 0, 0, 0]), np.array([2, 0, 0])
    first = select_by_classifier(labels, np.array([0.9, 0.1, 0.1, 0.9]), 0.2, wanted, NAMES)
    second = select_by_classifier(labels, np.array([0.1, 0.9, 0.1, 0.1]), 0.2, wanted, NAMES)
    assert first.indices.tolist() == [0, 3]
    assert second.indices.tolist() == [1]
    assert second.report.iloc[0].to_dict() == {"class": "a", "wanted": 2, "found": 1, "looked_at": 4, "filled": False}
