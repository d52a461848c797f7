"""A group, such as a patient, is never on both sides of any split: the scripts that draw splits, one by one."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from tests.conftest import run_script
from workflow_scripts.core.files import write_json

CLASSES = ["ant", "bee", "cat"]
COUNT = 90
SIDES = [("order", "held_out"), ("training", "validation"), ("subset", "test")]


def draw_splits(folder: Path, seed: int) -> tuple[np.ndarray, dict[str, Path]]:
    """The groups of a set, and the files of all its splits: of subsets, of teachers and students, of rebalancing."""
    random = np.random.default_rng(seed)
    groups = random.integers(0, 25, COUNT)
    own = np.arange(COUNT) >= 60 if seed % 2 else np.zeros(COUNT, bool)  # the user's own held-out images
    if seed % 2:
        groups[own] += 15  # some of which are of patients that the others are of, too
    at = {name: folder / f"{name}.npy" for pair in SIDES for name in pair}
    at |= {name: folder / f"{name}.json" for name in ("manifest", "groups", "counts")} | {
        "labels": folder / "l.parquet"
    }
    columns = {"label": np.arange(COUNT) % 3, "group": groups, "held_out": own.astype(np.uint8)}
    pd.DataFrame(columns).to_parquet(at["labels"])
    write_json(at["manifest"], {"classes": CLASSES})
    write_json(at["groups"], {"groups": {"all": {"classes": CLASSES}}})
    config = {"replication": {"datasets": {"own": {"sizes": [2, 5, 12]}}}}

    def draw(script: str, files: list[str], output: list[str], **params: object) -> None:
        chosen = ({name: at[name] for name in names} for names in (files, output))
        run_script(script, *chosen, params, config, dataset="own", group="all", seed=str(seed))

    drawn = ["labels", "manifest", "order", "held_out"]
    kind, imbalance = ("balanced", None) if seed % 3 else ("random", 3.0)
    draw("data/draw_subsets", ["labels"], ["order", "held_out"], held_out=12, kind=kind)
    draw("distillation/draw_split", drawn, ["training", "validation"], size=None, imbalance=imbalance)
    profile = {"profile": "exponential", "largest": 6, "ratio": 6.0}
    draw("rebalancing/draw_imbalance", [*drawn, "groups"], ["subset", "test", "counts"], imbalance=profile, budget=1)
    return groups, at


def test_no_group_is_on_both_sides_of_any_split(tmp_path: Path) -> None:
    compared = 0
    for seed in range(8):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with suppress(SystemExit):  # too few images of a class are left: refused
            groups, at = draw_splits(folder, seed)
            for training, test in SIDES:
                seen, unseen = (set(groups[np.load(at[name])]) for name in (training, test))
                assert seen
                assert unseen
                assert not seen & unseen
                compared += 1
    assert compared >= 12
