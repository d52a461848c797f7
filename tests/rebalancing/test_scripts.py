"""The scripts of the stage: a set that is long-tailed by nature, and synthetic images of known quality."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.conftest import run_script

CLASSES = ["ant", "bee", "cat"]


def test_a_set_that_is_long_tailed_by_nature_keeps_all_but_its_test_images(tmp_path, caplog):
    labels = np.repeat([0, 1, 2, -1], [40, 12, 7, 3])
    held_out = np.concatenate([np.flatnonzero(labels == label)[:4] for label in range(3)])
    order = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(labels)), held_out))
    pd.DataFrame({"label": labels}).to_parquet(tmp_path / "labels.parquet")
    (tmp_path / "manifest.json").write_text(json.dumps({"classes": CLASSES}))
    groups = {"all": {"classes": CLASSES}, "alike-1": {"classes": ["ant", "cat"]}}
    (tmp_path / "groups.json").write_text(json.dumps({"groups": groups}))
    np.save(tmp_path / "order.npy", order)
    np.save(tmp_path / "held_out.npy", held_out)
    files = {name: tmp_path / f"{name}.npy" for name in ("order", "held_out")}
    files |= {"labels": tmp_path / "labels.parquet", "manifest": tmp_path / "manifest.json"}
    files |= {"groups": tmp_path / "groups.json"}
    output = {"subset": tmp_path / "subset.npy", "test": tmp_path / "test.npy", "counts": tmp_path / "counts.json"}
    params = {"imbalance": None, "budget": 2}
    run_script("rebalancing/draw_imbalance", files, output, params, dataset="own", group="all", seed="0")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["counts"] == [36, 8, 3]
    assert counts["wanted"] == [0, 28, 33]
    assert counts["candidates"] == [0, 56, 66]
    assert counts["thirds"] == ["head", "middle", "tail"]
    np.testing.assert_array_equal(np.load(tmp_path / "subset.npy"), np.sort(order[labels[order] >= 0]))
    np.testing.assert_array_equal(np.load(tmp_path / "test.npy"), held_out)
    run_script("rebalancing/draw_imbalance", files, output, params, dataset="own", group="alike-1", seed="0")
    assert json.loads((tmp_path / "counts.json").read_text())["counts"] == [36, 3]
    params["imbalance"] = {"profile": "exponential", "largest": 3, "ratio": 1.0}
    with pytest.raises(SystemExit):
        run_script("rebalancing/draw_imbalance", files, output, params, dataset="own", group="all", seed="0")
    assert "keep 3 images each, so that there is nothing to rebalance" in caplog.text


def test_copies_and_quality_of_each_class_of_synthetic_images_are_measured(tmp_path):
    """Of the ant, the synthetic images are its training images; of the bee, its test images; of the cat, noise."""
    random = np.random.default_rng(1)
    patterns = random.integers(60, 190, (3, 8, 8, 1))
    labels = np.repeat([0, 1, 2], 60)
    images = (patterns[labels] + random.integers(-40, 40, (180, 8, 8, 1))).astype(np.uint8)
    training, test = np.flatnonzero(np.arange(180) % 60 < 20), np.flatnonzero(np.arange(180) % 60 >= 20)
    noise = random.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    of_class = [np.flatnonzero(labels == label) for label in range(3)]
    synthetic = np.concatenate([np.resize(images[of_class[0][:20]], (40, 8, 8, 1)), images[of_class[1][20:]], noise])
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "synthetic.npy", synthetic)
    np.save(tmp_path / "subset.npy", training)
    np.save(tmp_path / "test.npy", test)
    pd.DataFrame({"label": labels, "group": np.arange(180)}).to_parquet(tmp_path / "labels.parquet")
    pd.DataFrame({"label": np.repeat([0, 1, 2], 40)}).to_parquet(tmp_path / "synthetic.parquet")
    counts = {"classes": CLASSES, "labels": [0, 1, 2], "thirds": ["head", "middle", "tail"]}
    (tmp_path / "counts.json").write_text(json.dumps(counts))
    files = {name: tmp_path / f"{name}.npy" for name in ("images", "subset", "test")}
    files |= {"labels": tmp_path / "labels.parquet", "counts": tmp_path / "counts.json"}
    files |= {"synthetic": [tmp_path / "synthetic.npy"], "synthetic_labels": [tmp_path / "synthetic.parquet"]}
    output = {"table": tmp_path / "quality.csv"}
    run_script("rebalancing/measure_synthetic", files, output, {"choices": ["random"]}, seed="0")
    quality = pd.read_csv(tmp_path / "quality.csv").set_index("class")
    assert quality["synthetic"].tolist() == [40, 40, 40]
    assert quality["copies_percentage"].tolist() == pytest.approx([100, 0, 0], abs=5)
    assert quality.loc["ant", "copies_low"] > 90
    assert quality["all_copies_percentage"].tolist() == pytest.approx([100 / 3] * 3, abs=2)
    assert quality.loc["cat", "copies_high"] < 10
    assert quality.loc["bee", "frechet"] == pytest.approx(0, abs=1e-6)
    assert quality.loc["cat", "frechet"] > 5 * quality.loc["ant", "frechet"] > 0
    assert quality.loc["bee", "precision"] == quality.loc["bee", "coverage"] == 1
    assert quality.loc["cat", "precision"] == 0
    assert quality["threshold_rms"].gt(0).all()

    pd.DataFrame({"label": labels, "group": np.arange(180) % 19}).to_parquet(tmp_path / "labels.parquet")
    run_script("rebalancing/measure_synthetic", files, output, {"choices": ["random"]}, seed="0")
    uncounted = pd.read_csv(tmp_path / "quality.csv")
    assert uncounted[["threshold_rms", "copies_percentage", "all_copies_percentage"]].isna().all(axis=None)
