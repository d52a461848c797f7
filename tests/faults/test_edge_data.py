"""Sets at the edge of what can be measured: the study says what cannot be known, and does not break."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.conftest import replication_study, run_snakemake

SIZE = 12


def as_pngs(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{i:03d}.png")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two sets: one image many times, and different ones of a single class."""
    folder = tmp_path_factory.mktemp("edge")
    random = np.random.default_rng(0)
    constant = np.full((40, 16, 16, 1), 128, dtype=np.uint8)
    np.savez(folder / "constant.npz", images=constant)
    as_pngs(folder / "one-class/only", random.integers(0, 256, (40, 16, 16, 1), dtype=np.uint8))
    study = replication_study()
    settings = {"resolution": 16, "color": "grey", "held_out": 20}
    study["datasets"] = {
        "constant": {
            "source": "npz",
            "path": str(folder / "constant.npz"),
            "images_key": "images",
            "labels_key": None,
            **settings,
        },
        "one-class": {"source": "imagefolder", "path": str(folder / "one-class"), **settings},
    }
    study["replication"] |= {"datasets": {name: {"sizes": [SIZE]} for name in study["datasets"]}, "spaces": ["pixel"]}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    done = run_snakemake(folder, "--", "replication", "one_shot", config=folder / "study.yaml")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return folder


def test_the_study_is_complete_and_every_number_is_one(folder: Path) -> None:
    table = pd.read_csv(folder / "results/replication/table.csv")
    assert set(table["dataset"]) == {"constant", "one-class"}
    assert table["percentage"].between(0, 100).all()
    assert table["background_percentage"].between(0, 100).all()


def test_a_set_that_repeats_itself_has_no_dimension_and_no_safe_size(folder: Path) -> None:
    """Its held-out images are copies themselves: finding no copies beyond chance must not read as safe."""
    estimate = json.loads((folder / f"results/complexity/constant/size-{SIZE}/seed-0.json").read_text())
    assert estimate["dimension"] is None
    assert estimate["reason"].startswith("1 distinct images")
    answer = (folder / "results/one_shot/constant.md").read_text()
    assert "No law gives a safe size: of the held-out images" in answer
    assert "To do: remove repeated images" in answer
    estimate = json.loads((folder / "results/one_shot/constant.json").read_text())["generators"]["biggan"]
    assert estimate["measured_enough"] is None
    assert estimate["smallest_safe_size"]["size"] is None
    manifest = json.loads((folder / "results/data/constant/manifest.json").read_text())
    assert manifest["duplicates"]["images"] == 39


def test_one_image_is_too_few_and_said_to_be(tmp_path: Path) -> None:
    as_pngs(tmp_path / "single", np.zeros((1, 16, 16, 1), dtype=np.uint8))
    study = replication_study()
    study["datasets"] = {"single": {"source": "imagefolder", "path": str(tmp_path / "single"), "resolution": 16}}
    study["replication"] |= {"datasets": {"single": {"sizes": [6]}}, "spaces": ["pixel"], "thresholds": [{"rms": 0.1}]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    done = run_snakemake(tmp_path, "--", "one_shot", config=tmp_path / "study.yaml")
    assert done.returncode != 0
    assert "single" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
