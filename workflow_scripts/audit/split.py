"""What a generator was trained on, and which images it never saw."""

from typing import Any

import numpy as np

from workflow_scripts.core.files import read_column, read_npy


def split_of(files: Any, size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the training images and of the held-out ones, int64, rising.

    files: a job's inputs; size: of the subset that a generator of the config was trained on. Other generators saw all
    images of the set but those of its `held_out_path`.
    """
    if size is not None:
        return np.sort(read_npy(files.order)[:size]), np.asarray(read_npy(files.held_out))
    apart = read_column(files.labels, "held_out").astype(bool)
    return np.flatnonzero(~apart), np.flatnonzero(apart)


def size_of(split: str) -> int | None:
    """The subset's size in the name of a split, `size-64.seed-0`; None of `whole`."""
    return None if split == "whole" else int(split.split(".")[0].removeprefix("size-"))
