"""Leakage of a split: held-out images that are near-duplicates of training images, which therefore show no chance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

COLUMNS = ("seed", "space", "held_out", "training", "distance", "beyond")


def leaked(pairs: pd.DataFrame, order: np.ndarray, held_out: np.ndarray) -> pd.DataFrame:
    """The pairs of a split of which one image is held out and the other in the order of training images.

    pairs: columns query and reference, numbers of images, and others, which stay.
    """
    across = pairs["query"].isin(held_out) & pairs["reference"].isin(order)
    return pairs[across].rename(columns={"query": "held_out", "reference": "training"})


def mark(controls: pd.DataFrame, pairs: pd.DataFrame, subset: np.ndarray) -> pd.DataFrame:
    """Controls whose held-out images with a near-duplicate in the subset are of kind `near_duplicate`.

    pairs: of one seed, as `leaked` gives them, of all spaces together.
    """
    leaks = pairs.loc[pairs["training"].isin(subset), "held_out"]
    of_leaks = (controls["kind"] == "held_out") & controls["query"].isin(leaks)
    return controls.assign(kind=controls["kind"].where(~of_leaks, "near_duplicate"))


def without_leaks(scored: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The images of `search.membership_rows` that are no near-duplicates of a training image of the run.

    pairs: as for `mark`.
    """
    leaks = pairs.loc[pairs["training"].isin(scored.loc[scored["member"], "image"]), "held_out"]
    return scored[scored["member"] | ~scored["image"].isin(leaks)]


def sentences(pairs: Mapping[str, pd.DataFrame], held_out: Mapping[str, int], spaces: Sequence[str]) -> str:
    """A Markdown line for each data set; pairs: by data set, all seeds together; held_out: images of each seed."""
    lines = []
    for name, table in pairs.items():
        searched = f"near-duplicates of training images, searched in {' and '.join(spaces)}"
        counts = table.groupby("seed")["held_out"].nunique()
        if counts.empty:
            lines.append(f"- Of the {held_out[name]:,} held-out images of {name}, none are {searched}.\n")
            continue
        most = f"{counts.max():,}" if len(counts) == 1 else f"up to {counts.max():,} (by seed)"
        lines.append(
            f"- Of the {held_out[name]:,} held-out images of {name}, {most} are {searched}. They are leakage of the "
            f"split, not chance: they set no threshold and count in no control. "
            f"`results/near_duplicates/{name}.csv` lists them.\n"
        )
    return "".join(lines)
