"""Searches in shards: the same rows as the whole search, whatever the number of shards."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.data.subsets import shard_of
from workflow_scripts.replication.search import find_controls, find_neighbours, merge, merge_controls

CPU = torch.device("cpu")


def shards_of(count, shards):
    return [shard_of(count, i, shards) for i in range(shards)]


@st.composite
def image_sets(draw):
    """Images of few values, so that ties and copies abound, and a subset of them in rising order."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    images = random.integers(0, 3, (draw(st.integers(3, 40)), 2, 2, 1)).astype(np.uint8)
    if draw(st.booleans()):
        images = images.astype(np.float32)
    members = np.sort(random.permutation(len(images))[: draw(st.integers(1, len(images)))])
    return images, members


@settings(deadline=None)
@given(given=image_sets(), shards=st.integers(1, 9), k=st.integers(1, 4))
def test_any_number_of_shards_gives_the_rows_of_the_whole_search(given, shards, k):
    images, members = given
    queries, numbers = images[::2], np.arange(0, len(images), 2)
    whole = merge([find_neighbours(queries, numbers, images[members], members, k, CPU)], k)
    parts = [
        find_neighbours(queries, numbers, images[members[one]], members[one], k, CPU)
        for one in shards_of(len(members), shards)
    ]
    pd.testing.assert_frame_equal(merge(parts, k), whole, check_exact=True)
    assert (whole.groupby("query").size() == min(k, len(members))).all()


@settings(deadline=None)
@given(given=image_sets(), shards=st.integers(1, 9), k=st.integers(1, 3))
def test_controls_in_shards_never_pair_an_image_with_itself(given, shards, k):
    images, members = given
    held_out = np.setdiff1d(np.arange(len(images)), members)
    whole = merge_controls([find_controls(images, held_out, members, slice(None), k, CPU)], k)
    parts = [find_controls(images, held_out, members, one, k, CPU) for one in shards_of(len(members), shards)]
    pd.testing.assert_frame_equal(merge_controls(parts, k), whole, check_exact=True)
    training = whole[whole["kind"] == "training"]
    assert (training["query"] != training["index"]).all()
    assert len(training) == len(members) * min(k, len(members) - 1)


def test_a_copy_of_an_image_is_its_neighbour():
    images = np.array([[0, 0], [9, 9], [0, 0], [0, 0]], dtype=np.uint8)
    rows = find_controls(images, np.array([], dtype=int), np.arange(4), slice(None), 2, CPU)
    found = merge_controls([rows], 2).set_index(["query", "rank"])["index"]
    assert found.loc[2].tolist() == [0, 3]
    assert found.loc[0].tolist() == [2, 3]


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_long_rows_of_real_size_agree_to_the_bit(kind):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (500, 24, 24, 3)).astype(kind)
    queries = images[:60] + (random.random((60, 24, 24, 3)) < 0.1).astype(kind)
    numbers, members = np.arange(60), np.arange(500)
    whole = merge([find_neighbours(queries, numbers, images[members], members, 2, CPU)], 2)
    parts = [find_neighbours(queries, numbers, images[members[one]], members[one], 2, CPU) for one in shards_of(500, 7)]
    pd.testing.assert_frame_equal(merge(parts, 2), whole, check_exact=True)
