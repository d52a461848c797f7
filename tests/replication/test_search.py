"""Searches in shards: the same rows as the whole search, whatever the number of shards."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.replication.search import (
    find_both_ways,
    find_controls,
    membership_rows,
    merge,
    scored_images,
    snapshot_rows,
)

CPU = torch.device("cpu")


@st.composite
def image_sets(draw):
    """Images of few values, so that ties and copies abound, and a subset of them in rising order."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    images = random.integers(0, 3, (draw(st.integers(3, 40)), 2, 2, 1)).astype(np.uint8)
    if draw(st.booleans()):
        images = images.astype(np.float32)
    members = np.sort(random.permutation(len(images))[: draw(st.integers(1, len(images)))])
    return images, members


@settings(max_examples=25)
@given(drawn=image_sets(), shards=st.integers(1, 9), k=st.integers(1, 4))
def test_any_number_of_shards_gives_the_rows_of_the_whole_search(drawn, shards, k):
    images, members = drawn
    scored = np.arange(len(images))
    whole = merge([find_both_ways(images, images[::2], members, scored, k, CPU)], k)
    parts = [find_both_ways(images, images[::2], members, scored, k, CPU, (i, shards)) for i in range(shards)]
    pd.testing.assert_frame_equal(merge(parts, k), whole, check_exact=True)
    counts = whole.groupby(["kind", "query"]).size()
    assert (counts["sample"] == min(k, len(members))).all()
    assert (counts["image"] == 1).all()
    copies = whole[(whole["kind"] == "image") & (whole["query"] % 2 == 0)]
    assert (copies["distance"] == 0).all()


@settings(max_examples=25)
@given(drawn=image_sets(), shards=st.integers(1, 9), k=st.integers(1, 3))
def test_controls_in_shards_never_pair_an_image_with_itself(drawn, shards, k):
    images, members = drawn
    held_out = np.setdiff1d(np.arange(len(images)), members)
    whole = merge([find_controls(images, held_out, members, k, CPU)], k)
    parts = [find_controls(images, held_out, members, k, CPU, (i, shards)) for i in range(shards)]
    pd.testing.assert_frame_equal(merge(parts, k), whole, check_exact=True)
    training = whole[whole["kind"] == "training"]
    assert (training["query"] != training["index"]).all()
    assert len(training) == len(members) * min(k, len(members) - 1)


def test_a_copy_of_an_image_is_its_neighbour():
    images = np.array([[0, 0], [9, 9], [0, 0], [0, 0]], dtype=np.uint8)
    rows = merge([find_controls(images, np.array([], dtype=int), np.arange(4), 2, CPU)], 2)
    nearest = rows.set_index(["query", "rank"])["index"]
    assert nearest.loc[2].tolist() == [0, 3]
    assert nearest.loc[0].tolist() == [2, 3]


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_long_rows_of_real_size_agree_to_the_bit(kind):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (500, 24, 24, 3)).astype(kind)
    samples = images[:60] + (random.random((60, 24, 24, 3)) < 0.1).astype(kind)
    members = np.arange(500)
    whole = merge([find_both_ways(images, samples, members, members, 2, CPU)], 2)
    parts = [find_both_ways(images, samples, members, members, 2, CPU, (i, 7)) for i in range(7)]
    pd.testing.assert_frame_equal(merge(parts, 2), whole, check_exact=True)


def test_membership_is_asked_of_the_images_of_every_seed():
    orders, held_out = [np.array([0, 1, 2]), np.array([3, 0, 1])], [np.array([3, 4]), np.array([2, 4])]
    scored = scored_images(orders, held_out, 2)
    assert scored.tolist() == [0, 1, 2, 3, 4]
    images = np.arange(5, dtype=np.uint8)[:, None] * 10
    rows = merge([find_both_ways(images, images[[1, 1]], np.array([0, 1]), scored, 1, CPU)], 1)
    table = membership_rows(rows, np.array([0, 1]), held_out[0]).set_index("image")
    assert table.index[table["member"]].tolist() == [0, 1]
    assert table.index[table["held_out"]].tolist() == [3, 4]
    assert (table["distance"] * 255).round(6).tolist() == [10, 0, 10, 20, 30]


def test_samples_of_each_moment_find_their_training_image():
    images = np.arange(6, dtype=np.uint8)[:, None] * 10
    snapshots = np.array([[[9], [50]], [[21], [20]], [[30], [30]]], dtype=np.uint8)
    rows = snapshot_rows(images, snapshots, np.array([1, 2, 5]), CPU)
    assert rows["moment"].tolist() == [0, 0, 1, 1, 2, 2]
    assert rows["sample"].tolist() == [0, 1] * 3
    assert rows["index"].tolist() == [1, 5, 2, 2, 2, 2]
    assert (rows["distance"] * 255).round(6).tolist() == [1, 0, 1, 0, 10, 10]
