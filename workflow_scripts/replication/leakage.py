"""Leakage of a split: held-out images that are near-duplicates of training images, which therefore show no chance.

Where they are most of the held-out images the set repeats itself. Then near-duplicates are what chance gives, and stay.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

MOST = 0.5  # share of the held-out images; where more of them are near-duplicates, the set repeats itself
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
    held_out = controls["kind"] == "held_out"
    leaks = _left_out(pairs.loc[pairs["training"].isin(subset), "held_out"], controls.loc[held_out, "query"])
    of_leaks = held_out & controls["query"].isin(leaks)
    return controls.assign(kind=controls["kind"].where(~of_leaks, "near_duplicate"))


def without_leaks(scored: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The images of `search.membership_rows` that are no near-duplicates of a training image of the run.

    pairs: as for `mark`.
    """
    members = scored["member"]
    leaks = pairs.loc[pairs["training"].isin(scored.loc[members, "image"]), "held_out"]
    return scored[members | ~scored["image"].isin(_left_out(leaks, scored.loc[scored["held_out"], "image"]))]


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
        leakage = "They are leakage of the split, not chance: they set no threshold and count in no control."
        if counts.max() > MOST * held_out[name]:
            leakage = (
                "Where more than half of them have one in a subset, the set repeats itself: there near-duplicates are "
                "what chance gives, and are kept. In other subsets they are left out."
            )
        lines.append(
            f"- Of the {held_out[name]:,} held-out images of {name}, {most} are {searched}. {leakage} "
            f"`results/near_duplicates/{name}.csv` lists them.\n"
        )
    return "".join(lines)


def _left_out(leaks: pd.Series, held_out: pd.Series) -> np.ndarray:
    """Which of the held-out images (numbers, with repeats) are left out."""
    among = np.intersect1d(leaks, held_out)
    return among if len(among) <= MOST * held_out.nunique() else among[:0]
