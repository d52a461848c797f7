"""Long-tailed sets: counts by formula, nested and seeded subsets, groups, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.imbalance import (
    Exponential,
    Given,
    Step,
    class_counts,
    head_middle_tail,
    imbalanced_subset,
    lacking_counts,
)

NAMES = tuple("abcdefghij")


@given(st.integers(1, 10), st.integers(200, 5000), st.floats(1, 100))
def test_the_exponential_profile_is_its_formula_in_the_given_order(classes, largest, ratio) -> None:
    names = NAMES[:classes]
    counts = class_counts(Exponential(largest, ratio, names[::-1]), names, 0)
    wanted = [largest * ratio ** (-i / max(classes - 1, 1)) for i in range(classes)]
    assert np.abs(counts[::-1] - wanted).max() <= 0.5


def test_the_seed_draws_the_order_from_head_to_tail() -> None:
    profile = Exponential(1000, 100)
    first, again, other = (class_counts(profile, NAMES, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert sorted(first) == sorted(other)
    assert not np.array_equal(first, other)
    assert first.max() == 1000
    assert first.min() == 10


def test_a_step_profile_has_two_heights() -> None:
    np.testing.assert_array_equal(class_counts(Step(100, 10, 0.25, NAMES[:4]), NAMES[:4], 0), [100, 100, 100, 10])


def test_given_counts_go_by_name() -> None:
    np.testing.assert_array_equal(class_counts(Given({"b": 3, "a": 5}), ("a", "b"), 0), [5, 3])


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (Given({"a": 5}), "unknown or missing: 'b'"),
        (Exponential(10, 2, ("a", "a")), "exactly once"),
        (Exponential(10, 100, ("a", "b")), "class 'b' would keep no image"),
    ],
)
def test_profiles_that_do_not_fit_the_classes_are_refused(profile, words) -> None:
    with pytest.raises(InputError, match=words):
        class_counts(profile, ("a", "b"), 0)


@given(st.integers(0, 3), st.integers(1, 40), st.integers(0, 20), st.floats(1, 10))
def test_subsets_have_their_counts_and_are_nested(seed, smaller, more, ratio) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat([-1, 0, 1, 2], 60))
    names, order = ("x", "y", "z"), ("z", "x", "y")
    small, large = (Exponential(largest * 10, ratio, order) for largest in (smaller, smaller + more))
    if large.largest > 60:
        with pytest.raises(InputError, match=r"class '.' is to keep .* only 60 are there"):
            imbalanced_subset(labels, names, large, seed)
        return
    inner, outer = (imbalanced_subset(labels, names, profile, seed) for profile in (small, large))
    np.testing.assert_array_equal(np.bincount(labels[outer], minlength=3), class_counts(large, names, seed))
    assert set(inner) <= set(outer)
    assert len(set(outer)) == len(outer)
    np.testing.assert_array_equal(outer, imbalanced_subset(labels, names, large, seed))


def test_a_set_that_is_long_tailed_by_nature_is_kept_as_it_is() -> None:
    labels = np.array([0, 1, -1, 0, 2, 0])
    np.testing.assert_array_equal(imbalanced_subset(labels, ("x", "y", "z"), None, 0), [0, 1, 3, 4, 5])
    with pytest.raises(InputError, match="no image of class 'w' is left"):
        imbalanced_subset(labels, ("x", "y", "z", "w"), None, 0)


def test_thirds_by_count_and_equal_counts_together() -> None:
    groups = head_middle_tail(np.array([5, 100, 50, 20, 10, 2]))
    assert groups.tolist() == ["tail", "head", "head", "middle", "middle", "tail"]
    assert head_middle_tail(np.array([9, 1, 9, 1])).tolist() == ["head", "tail", "head", "tail"]
    assert head_middle_tail(np.array([4, 4, 4])).tolist() == ["middle"] * 3


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20).map(np.array))
def test_no_class_of_a_lower_group_is_larger(counts) -> None:
    rank = {"head": 0, "middle": 1, "tail": 2}
    place = np.array([rank[name] for name in head_middle_tail(counts)])
    assert np.all(np.diff(place[np.argsort(-counts, kind="stable")]) >= 0)


def test_lacking_counts_reach_the_largest_or_the_target() -> None:
    counts = np.array([10, 4, 1])
    np.testing.assert_array_equal(lacking_counts(counts), [0, 6, 9])
    np.testing.assert_array_equal(lacking_counts(counts, 5), [0, 1, 4])
