"""Generators whose copying is known, audited by the scripts of the workflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT, run_script
from workflow_scripts.config.validation import validate
from workflow_scripts.core.files import read_json, write_json, write_npy, write_parquet, write_text
from workflow_scripts.data.arrays import shipped_set
from workflow_scripts.data.resolution import shrink

TRAINING, HELD_OUT, SIDE = 400, 300, 16
SPACES = {"pixel": {"kind": "pixel", "resolution": None}}
THRESHOLDS = [{"calibrated": 0.01}, {"rms": 0.1415}]


@pytest.fixture(scope="session")
def clothes() -> np.ndarray:
    """Images of clothing in an order of their own, uint8 (4000, 16, 16, 1)."""
    source = shipped_set(ROOT / "resources/fashion-mnist-test")
    assert source.block is not None
    order = np.random.default_rng(0).permutation(source.count)[:4000]
    images = source.block(0, source.count)[0][order]
    return shrink(images.reshape(len(images), 28, 28, 1), SIDE)


@pytest.fixture(scope="session")
def audit(clothes: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Runs an audit of samples against the first images: gives audit.json, with the folder of results as `folder`.

    size: of the subset of the training images, their last ones, that a generator of the config was trained on.
    """

    def run(
        samples: np.ndarray,
        held_out: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        training: np.ndarray | None = None,
        size: int | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("audit") / "results"
        training = clothes[:TRAINING] if training is None else training
        held_out = clothes[TRAINING : TRAINING + HELD_OUT] if held_out is None else held_out
        images = np.concatenate([training, held_out])
        count = len(images)
        write_npy(folder / "images.npy", images)
        write_npy(folder / "samples.npy", samples)
        table = {
            "label": np.arange(count, dtype=np.int32) % 2,
            "origin": [f"image-{i}.png" for i in range(count)],
            "group": (np.arange(count) if groups is None else groups).astype(np.int32),
            "held_out": (np.arange(count) >= len(training)).astype(np.uint8),
        }
        write_parquet(folder / "labels.parquet", pd.DataFrame(table))
        write_json(folder / "manifest.json", {"classes": ["even", "odd"]})
        raw = {
            "datasets": {"mine": {"source": "npz", "path": "train.npz", "resolution": SIDE}},
            "samples": {"model": {"source": "npz", "path": "samples.npz"}},
            "audit": {"datasets": {"mine": {"samples": ["model"]}}, "spaces": ["pixel"], "planted": 20, **settings},
        }
        config = validate(raw)
        write_text(folder / "config.yaml", yaml.safe_dump(config))
        chosen = config["audit"]
        shared = {"labels": folder / "labels.parquet", "images": folder / "images.npy"}
        split = "whole"
        if size is not None:  # of a generator of the config: a subset, and the held-out images of its seed
            split = f"size-{size}.seed-0"
            shared |= {"order": folder / "order.npy", "held_out": folder / "held_out.npy"}
            write_npy(shared["order"], np.arange(len(training))[::-1])
            write_npy(shared["held_out"], np.arange(len(training), count))
        planted = {"images": folder / "planted.npy", "table": folder / "planted.parquet"}
        seeds = {"seed": 0, "planted": chosen["planted"]}
        run_script("audit/plant_copies", shared, planted, seeds, split=split)
        run_script(
            "audit/search_audit_controls",
            {**shared, "vectors": [shared["images"]], "planted": [planted["images"]],
             "planted_images": planted["images"], "table": planted["table"]},
            {"rows": folder / "controls.parquet"},
            {"spaces": ["pixel"], "seed": 0},
            split=split,
        )  # fmt: skip
        for shard in range(chosen["shards"]):
            run_script(
                "audit/search_samples",
                {**shared, "samples": folder / "samples.npy", "vectors": [shared["images"]],
                 "sample_vectors": [folder / "samples.npy"]},
                {"rows": folder / f"shard-{shard}.parquet"},
                {"spaces": ["pixel"], "split": split, "shards": chosen["shards"], "seed": 0, "all_members": False},
                shard=str(shard),
            )  # fmt: skip
        figures = {"distances": folder / "figures/audit_distances/mine/model.svg"}
        if not chosen["redact"]:
            figures["pairs_figure"] = folder / "figures/audit_pairs/mine/model.svg"
        if chosen["release"]:
            figures["release"] = folder / "release.npy"
        run_script(
            "audit/measure_audit",
            {**shared, "manifest": folder / "manifest.json", "samples": folder / "samples.npy",
             "shards": [folder / f"shard-{shard}.parquet" for shard in range(chosen["shards"])],
             "controls": folder / "controls.parquet", "table": planted["table"],
             "quality_images": shared["images"], "quality_samples": [folder / "samples.npy"]},
            {"measured": folder / "measured.json", "pairs": folder / "pairs.parquet", **figures},
            {"name": "model", "split": split, "spaces": SPACES, "thresholds": chosen["thresholds"],
             "wanted": chosen["wanted_percentage"], "quality_space": "pixel", "seed": 0},
            dataset="mine", samples="model",
        )  # fmt: skip
        answer = folder / "audit/mine"
        run_script(
            "audit/write_audit",
            {"measured": [folder / "measured.json"], "pairs": [folder / "pairs.parquet"],
             "config": folder / "config.yaml"},
            {"answer": answer / "audit.json", "text": answer / "audit.md", "pairs": answer / "pairs.parquet",
             "report": answer / "report.html"},
            {"samples": ["model"], "audit": chosen},
            dataset="mine",
        )  # fmt: skip
        return read_json(answer / "audit.json") | {"folder": Path(answer)}

    return run
