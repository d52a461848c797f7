"""Which keys of `datasets` suit a folder, an archive or a table of images."""

import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from workflow_scripts.study.recognition import settings_for


def folder(root: Path, *names: str) -> dict[str, object]:
    """The settings of a folder of images by these names, but for where it is."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6)).save(root / name)
    return {key: value for key, value in settings_for(root).items() if key not in ("source", "path")}


def test_splits_and_classes_may_lie_deep(tmp_path: Path) -> None:
    nested = [f"v1/data/{part}/{name}/{i}.png" for part in ("train", "val") for name in ("ant", "owl") for i in (1, 2)]
    assert folder(tmp_path / "nested", *nested) == {"splits": ["train", "val"]}
    in_class = [f"data/{name}/{part}/1.png" for part in ("train", "val") for name in ("ant", "owl")]
    assert folder(tmp_path / "class", *in_class) == {"splits": ["train", "val"]}
    yolo = folder(tmp_path / "yolo", "train/images/1.png", "valid/images/2.png")
    assert yolo == {"splits": ["train", "valid"], "tree": "flat"}


@pytest.mark.parametrize("name", ["n0144{:04}", "class_{:02}", "Label-{}"])
def test_numbered_classes_are_no_patients(tmp_path: Path, name: str) -> None:
    assert folder(tmp_path, *(f"{name.format(i)}/{j}.png" for i in range(12) for j in range(3))) == {}


def test_numbered_folders_are_classes_if_their_images_are_counted_anew_and_unequal(tmp_path: Path) -> None:
    """Traffic signs (GTSRB) lie in 00000, 00001, ..; so do the parts of one set, of equal size or with other names."""
    flat = {"tree": "flat"}
    assert folder(tmp_path / "signs", *(f"{i:05}/{j}.png" for i in range(4) for j in range(2 + i))) == {}
    assert folder(tmp_path / "same", *(f"{i:05}/{j}.png" for i in range(4) for j in range(2))) == flat
    assert folder(tmp_path / "parts", *(f"{i:05}/{9 * i + j}.png" for i in range(4) for j in range(2 + i))) == flat


def test_an_unpacked_set_of_stylegan_has_its_classes(tmp_path: Path) -> None:
    names = ["set/00000/1.png", "set/00001/2.png"]
    (tmp_path / "set").mkdir()
    for labels, settings in (([0, 1], {}), ([[0.5], [0.5]], {"tree": "flat"})):
        pairs = [[name.removeprefix("set/"), label] for name, label in zip(names, labels, strict=True)]
        (tmp_path / "set/dataset.json").write_text(json.dumps({"labels": pairs}))
        assert folder(tmp_path, *names) == settings


def test_the_column_of_images_is_no_other_of_bytes(tmp_path: Path) -> None:
    named = {"info": {"features": {"sign": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
    columns = {"id": [b"1"] * 2, "size": [{"w": 1}] * 2, "img": [b"2"] * 2, "sign": [0, 1], "label": [1, 1]}
    table = arrow.table(columns).replace_schema_metadata({"huggingface": json.dumps(named)})
    parquet.write_table(table, tmp_path / "a.parquet")
    settings = settings_for(tmp_path / "a.parquet")
    assert (settings["images_key"], settings["labels_key"]) == ("img", "sign")
    cells = [{"image": {"bytes": b"1", "path": None}, "label": i} for i in range(2)]
    parquet.write_table(arrow.table({"sample": cells}), tmp_path / "a.parquet")
    settings = settings_for(tmp_path / "a.parquet")
    assert (settings["images_key"], settings["labels_key"]) == ("sample.image", "sample.label")


BY_NAME = {"group_pattern": "([^/ ._-]+)[^/]*$"}
BY_TWO_WORDS = {"group_pattern": "([^/ ._-]+[ ._-]+[^/ ._-]+)[^/]*$"}


def test_patients_in_the_names_of_files_are_groups(tmp_path: Path) -> None:
    """As in ChestX-ray14, whose parts are folders, too; with a word before the number; and in folders of classes."""
    views = [(patient, view) for patient in range(30) for view in range(1 + patient % 3)]
    assert folder(tmp_path / "chest", *(f"{p:08}_{v:03}.png" for p, v in views)) == BY_NAME
    parts = folder(tmp_path / "parts", *(f"images_{p % 2:03}/images/{p:08}_{v:03}.png" for p, v in views))
    assert parts == {"tree": "flat"} | BY_NAME
    assert folder(tmp_path / "cases", *(f"case-{p:02}-view{v}.png" for p, v in views)) == BY_TWO_WORDS
    many = [(patient, view) for patient in range(24) for view in range(2)]
    assert folder(tmp_path / "ill", *(f"{'ab'[p % 2]}/person{p}_{v}.png" for p, v in many)) == BY_NAME
    named = folder(tmp_path / "held", *(f"{part}/{p:04}_{v}.png" for part in ("images", "masks") for p, v in many))
    assert named == {"splits": ["images"]} | BY_NAME


def test_numbers_that_are_given_anew_in_each_folder_are_groups_of_that_folder(tmp_path: Path) -> None:
    """Tracks of traffic signs (GTSRB): 00003/00000_00029.ppm is another sign than 00004/00000_00029.ppm."""
    names = [f"sign{c}/{track:05}_{i:05}.png" for c in range(3) for track in range(11) for i in range(4)]
    assert folder(tmp_path, *names) == {"group_pattern": "([^/]+/[^/ ._-]+)[^/]*$"}


@pytest.mark.parametrize(
    "name",
    [
        "{0:04}.png",
        "IMG_{0:04}.png",
        "{1}_{0}.png",
        "rose{1}_{0}.png",
        "label{2}_{0}.png",
        "k{1}/k{1}_{0}.png",
        "{0}-a.png",
    ],
)
def test_names_that_count_images_or_say_their_class_are_no_groups(tmp_path: Path, name: str) -> None:
    names = [name.format(i, i % 3, i % 12) for i in range(48)]
    assert "group_pattern" not in folder(tmp_path, *names)
