"""Subsets: nested, seeded, disjoint from the held-out part, balanced where asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.subsets import draw_order, first_half, shard_of

labels_strategy = st.lists(st.integers(-1, 5), min_size=2, max_size=80).map(np.array)


@given(labels=labels_strategy, seed=st.integers(0, 3), kind=st.sampled_from(["balanced", "random"]), data=st.data())
def test_the_parts_are_a_partition_and_depend_on_the_seed_alone(labels, seed, kind, data) -> None:
    held_out = data.draw(st.integers(0, len(labels) - 1))
    order, kept = draw_order(labels, held_out, seed, kind)
    assert len(kept) == held_out
    assert sorted([*order, *kept]) == list(range(len(labels)))
    again = draw_order(labels, held_out, seed, kind)
    np.testing.assert_array_equal(order, again[0])
    np.testing.assert_array_equal(kept, again[1])


@given(labels=labels_strategy, seed=st.integers(0, 3), data=st.data())
def test_balanced_prefixes_differ_by_at_most_one_while_classes_last(labels, seed, data) -> None:
    held_out = data.draw(st.integers(0, len(labels) - 1))
    order, kept = draw_order(labels, held_out, seed, "balanced")
    classes, totals = np.unique(labels, return_counts=True)
    held = np.array([(labels[kept] == label).sum() for label in classes])
    for size in range(1, len(order) + 1):
        counts = np.array([(labels[order[:size]] == label).sum() for label in classes])
        # Of the whole row of held-out and training images; a class that has run out has no more to give.
        lasting = counts + held < totals
        if lasting.any():
            assert np.ptp((counts + held)[lasting]) <= 1
            assert ((counts + held)[lasting].max() >= (counts + held)[~lasting] - 1).all()


@given(labels=labels_strategy, seed=st.integers(0, 3), kind=st.sampled_from(["balanced", "random"]), data=st.data())
def test_no_group_is_on_both_sides(labels, seed, kind, data) -> None:
    groups = data.draw(st.lists(st.integers(0, 6), min_size=len(labels), max_size=len(labels)).map(np.array))
    held_out = data.draw(st.integers(0, len(labels) - 1))
    try:
        order, kept = draw_order(labels, held_out, seed, kind, groups)
    except InputError:
        assert len(labels) - held_out < np.bincount(groups).max()  # what is left is of the groups held out
        return
    assert len(kept) == held_out
    assert not set(groups[order]) & set(groups[kept])
    assert len(set(groups[kept])) <= len(set(groups)) - 1
    assert set(groups[order]) == set(groups) - set(groups[kept])


@given(groups=st.lists(st.integers(0, 6), min_size=1, max_size=60).map(np.array), seed=st.integers(0, 3))
def test_no_group_is_in_both_halves(groups, seed) -> None:
    order = np.random.default_rng(seed).permutation(len(groups))
    half = first_half(len(groups), groups, order)
    assert half[order[0]]
    assert not set(groups[half]) & set(groups[~half])
    assert 0 <= len(set(groups[half])) - len(set(groups[~half])) <= 1
    alone = first_half(len(groups), None, order)
    assert set(order[::2]) == set(np.flatnonzero(alone))


def test_the_users_own_held_out_images_are_the_only_ones_held_out() -> None:
    labels, own = np.arange(20) % 2, np.arange(20) >= 14
    groups = np.arange(20)
    groups[3] = 14  # of a held-out patient
    order, kept = draw_order(labels, 4, 0, "balanced", groups, own)
    assert set(kept) < set(range(14, 20))
    assert np.bincount(labels[kept]).tolist() == [2, 2]
    assert sorted(order) == [i for i in range(14) if i != 3]
    assert np.bincount(labels[order[:6]]).tolist() == [3, 3]


def test_seeds_draw_different_subsets() -> None:
    labels = np.zeros(100, dtype=int)
    assert not np.array_equal(draw_order(labels, 10, 0, "random")[0], draw_order(labels, 10, 1, "random")[0])


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(InputError, match="held_out: 5 images"):
        draw_order(np.zeros(5, dtype=int), 5, 0, "random")


@given(count=st.integers(0, 300), shards=st.integers(1, 20), unit=st.sampled_from([1, 7, 128]))
def test_shards_cover_all_rows_once_in_order_and_keep_units_whole(count, shards, unit) -> None:
    parts = [list(range(count))[shard_of(count, i, shards, unit)] for i in range(shards)]
    assert [row for part in parts for row in part] == list(range(count))
    assert all(part[0] % unit == 0 for part in parts if part)
