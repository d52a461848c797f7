"""`make new`: from a folder of images to a valid config and its costs."""

import json
import os
import shlex
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT
from workflow_scripts.config.validation import validate
from workflow_scripts.core.errors import InputError
from workflow_scripts.data.groups import groups_of
from workflow_scripts.data.subsets import draw_order
from workflow_scripts.engine.plan import Job, plan
from workflow_scripts.study.inspection import Inspection, inspect
from workflow_scripts.study.new import new_config
from workflow_scripts.study.proposal import Machine, propose
from workflow_scripts.study.recognition import settings_for
from workflow_scripts.study.schedule import schedule

CPU = Machine(2, "", 16.0)
GPU = Machine(16, "a GPU", 128.0)


def save(path: Path, side: int, seed: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (side, side + 4, 3) if mode == "RGB" else (side, side + 4)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes in a folder with spaces and umlauts: 40 and 13 images, one of them broken, one a duplicate."""
    folder = tmp_path / "Bilder für Ärger"
    for name, count in (("äpfel", 40), ("birnen, grün", 12)):
        for i in range(count):
            save(folder / name / f"{i:02}.png", 20 + i % 3 * 10, 100 * count + i)
    (folder / "äpfel/00.png").write_bytes((folder / "äpfel/01.png").read_bytes())
    (folder / "birnen, grün/broken.jpg").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("ignored")
    return folder


def proposed(folder: Path, tmp_path: Path, machine: Machine = CPU) -> dict[str, Any]:
    path, _, proposal = new_config(str(folder), "mine", tmp_path / "config", machine)
    config = validate(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    assert config == proposal.config
    return config


def test_an_inspection_finds_what_is_there(pictures: Path) -> None:
    seen = inspect(pictures, 2)
    assert (seen.count, seen.usable, seen.left_out) == (53, 52, {"other files": ["notes.txt"]})
    assert seen.classes == {"birnen, grün": 12, "äpfel": 40}
    assert list(seen.broken) == ["birnen, grün/broken.jpg"]
    assert seen.repeated == {"äpfel/01.png": "äpfel/00.png"}
    assert (seen.grey, seen.coloured, seen.transparent) == (0, 52, 0)
    told = "\n".join(seen.lines())
    for words in ("24 x 20 to 44 x 40 px", "52 in colour", "12 images (birnen, grün)", "broken: 1", "duplicates: 1"):
        assert words in told


def test_the_config_fits_the_images_and_can_be_planned(pictures: Path, tmp_path: Path) -> None:
    config = proposed(pictures, tmp_path)
    listed = (tmp_path / "config/mine.problems.txt").read_text()
    assert "unreadable images: 1\n  birnen, grün/broken.jpg: cannot identify" in listed
    assert "exact duplicates: 1\n  äpfel/01.png equals äpfel/00.png\n" in listed
    assert "other files: 1\n  notes.txt\n" in listed
    dataset = config["datasets"]["mine"]
    assert dataset["path"] == str(pictures)
    assert (dataset["resolution"], dataset["color"], dataset["on_bad_image"]) == (16, "rgb", "skip")
    assert dataset["held_out"] == 8  # four of each class, a third of the smaller one
    counts = config["rebalancing"]["imbalance"]["counts"]
    assert counts == {"birnen, grün": 8, "äpfel": 36}
    assert config["replication"]["thresholds"] == [{"rms": 0.1415}]  # too few images to calibrate by
    for target in ("one_shot", "advice", "diagnosis"):
        jobs = plan(tmp_path / "config/mine.yaml", [target], tmp_path, 2)
        assert any(f"results/{target}/mine.md" in job.output for job in jobs)
        assert all(job.needed for job in jobs)


def test_the_choices_follow_the_machine_and_the_colours(tmp_path: Path) -> None:
    for i in range(60):
        save(tmp_path / f"flat/{i}.png", 70, i, "L" if i % 2 else "RGB")
    config = proposed(tmp_path / "flat", tmp_path, GPU)
    assert config["generators"]["biggan"]["preset"] == "small"
    assert config["datasets"]["mine"]["resolution"] == 64
    assert config["datasets"]["mine"]["color"] == "rgb"  # half are in colour: grey ones are turned into RGB
    assert config["datasets"]["mine"]["held_out"] == 20
    assert config["replication"]["datasets"]["mine"]["sizes"] == [
        8,
        11,
        16,
        22,
        32,
    ]  # those of a GPU begin above what there is
    assert config["rebalancing"]["datasets"] == config["distillation"]["datasets"] == []


def test_rare_classes_are_left_out_of_rebalancing_and_held_out_images_follow_the_classes(tmp_path: Path) -> None:
    """Of a long tail, an equal number of each class would be too few images to calibrate by."""
    counts = {"a": 700, "b": 300, "c": 100, "d": 9, "e": 1}
    seen = Inspection(
        root=tmp_path, settings={"source": "imagefolder", "path": str(tmp_path)}, count=1110, looked_at=1110,
        classes=counts, sides=np.full((1110, 2), 72), grey=1, coloured=1109, limits={"bytes": (0.0, 255.0)},
        transparent=1110, background="black", seconds_an_image=0.001,
    )  # fmt: skip
    few = propose(replace(seen, count=200, looked_at=200, classes={}), "mine", CPU).config
    assert few["datasets"]["mine"]["held_out"] == 72  # two sets of the largest size stay to be trained on
    assert few["replication"]["thresholds"][0] == {"calibrated": 0.05}
    proposal = propose(seen, "mine", CPU)
    dataset = proposal.config["datasets"]["mine"]
    assert (dataset["held_out"], dataset["subsets"], dataset["color"]) == (370, "random", "rgb")
    kept = proposal.config["rebalancing"]["imbalance"]["counts"]
    assert list(kept) == ["a", "b", "c"]
    assert kept["a"] == 200
    assert 50 < kept["c"] < 75  # fewer than three quarters, by what chance may hold out
    assert "left out of this study: d (9), e (1)" in proposal.text
    assert proposal.config["replication"]["thresholds"][0] == {"calibrated": 0.05}
    even = {"a": 600, "b": 700, "c": 650, "d": 9}
    made = propose(replace(seen, count=1959, looked_at=1959, classes=even), "mine", CPU)
    counts_made = made.config["rebalancing"]["imbalance"]["counts"]
    assert sorted(counts_made, key=lambda name: -counts_made[name]) == ["b", "c", "a"]  # not in the order of the names
    assert "a long tail is made" in made.text
    many = propose(
        replace(seen, count=4440, looked_at=4440, classes={k: 4 * n for k, n in counts.items()}), "mine", CPU
    )
    assert many.config["datasets"]["mine"]["held_out"] == 1110
    assert many.config["replication"]["thresholds"][0] == {"calibrated": 0.01}


def test_a_contact_sheet_shows_what_packing_makes(tmp_path: Path) -> None:
    """Black drawings in the alpha channel are seen on it, since the background is chosen for them."""
    for i in range(30):
        pixels = np.zeros((40, 40, 4), np.uint8)
        pixels[10:30, i : i + 10, 3] = 255
        pixels[0, 0] = (9, 9, 9, 255)
        (tmp_path / "icons").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"icons/{i}.png")
    dataset = proposed(tmp_path / "icons", tmp_path)["datasets"]["mine"]
    assert (dataset["background"], dataset["range"]) == ("white", "type")
    assert inspect(tmp_path / "icons", 1).repeated == {}
    sheet = np.asarray(Image.open(tmp_path / "config/mine.png"))
    assert sheet.shape == (3 * 166 + 6, 4 * 166 + 6, 3)
    cells = [sheet[y : y + 160, x : x + 160] for y in (6, 172, 338) for x in (6, 172, 338, 504)]
    assert all({0, 255} <= set(np.unique(cell)) for cell in cells)


def test_a_12_bit_folder_is_scaled_by_its_bits(tmp_path: Path) -> None:
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 3900, (20, 20), dtype=np.uint16)
        (tmp_path / "scans").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"scans/{i}.png")
    dataset = proposed(tmp_path / "scans", tmp_path)["datasets"]["mine"]
    assert (dataset["range"], dataset["color"]) == ([0.0, 4095.0], "grey")


def test_sizes_are_those_of_upright_images_and_further_frames_are_told(tmp_path: Path) -> None:
    """Cameras store portraits as turned landscapes; of an animation, or of a stack, only the first image is read."""
    turned = Image.Exif()
    turned[0x0112] = 6
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(26):
        pixels = np.random.default_rng(i).integers(0, 256, (30, 40 + i % 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.jpg", exif=turned if i < 10 else Image.Exif())
    frames = [Image.new("L", (36, 36), light) for light in (0, 99, 200)]
    for name in ("a.gif", "b.tif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    told = inspect(folder, 1).lines()
    assert "sizes: 30 x 40 to 36 x 36 px, half below 30 x 41 (16 wider than high, 10 higher than wide)" in told
    assert "animations or several pages: 2; only the first frame of each is read" in told


def test_labels_of_several_classes_an_image_are_named_and_not_read(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (30, 14))
    np.savez(tmp_path / "chest.npz", train_images=np.zeros((30, 8, 8), np.uint8), train_labels=labels)
    seen = inspect(tmp_path / "chest.npz", 1)
    assert seen.classes == {}
    assert seen.notes == ("train_labels (30, 14): not read as labels, since they do not name one class for each image",)
    save(tmp_path / "1.png", 8, 0)
    cells = [(tmp_path / "1.png").read_bytes()] * 30
    parquet.write_table(arrow.table({"image": cells, "label": [[0, 1]] * 30}), tmp_path / "a.parquet")
    seen = inspect(tmp_path / "a.parquet", 1)
    assert seen.settings["images_key"] == "image"
    assert "label (list<element: int64>): not read as labels" in seen.notes[0].replace("item:", "element:")


def test_arrays_of_other_programs_are_recognised(tmp_path: Path) -> None:
    """SVHN's, whose last axis counts the images; masks of the same shape; labels of another number."""
    images, labels = np.zeros((8, 8, 3, 30), np.uint8), np.arange(30)[None] % 2
    parts = {
        "train_X": images[..., :20],
        "train_y": labels[:, :20],
        "test_X": images[..., 20:],
        "test_y": labels[:, 20:],
    }
    np.savez(tmp_path / "svhn.npz", **parts)
    seen = inspect(tmp_path / "svhn.npz", 1)
    assert (seen.count, seen.classes) == (30, {"0": 15, "1": 15})
    assert seen.settings["images_key"] == ["train_X", "test_X"]
    pictures = np.zeros((30, 8, 8), np.uint8)
    np.savez(tmp_path / "masks.npz", a_masks=pictures > 0, images=pictures, y=np.zeros(29))
    seen = inspect(tmp_path / "masks.npz", 1)
    assert (seen.count, seen.settings["images_key"]) == (30, "images")
    assert seen.notes == ("y (29,): not read as labels, since they do not name one class for each image",)
    (tmp_path / "cifar").mkdir()
    for name in ("batches.meta", "data_batch_1"):
        (tmp_path / "cifar" / name).write_bytes(b"\x80")
        with pytest.raises(InputError, match="`source: torchvision`, `name: CIFAR10`"):
            settings_for(tmp_path / "cifar" / name)
    with pytest.raises(InputError, match=r"holds no image, .* `source: torchvision`, `name: CIFAR10`"):
        inspect(tmp_path / "cifar", 1)


def test_layouts_of_others_are_recognised(tmp_path: Path) -> None:
    """Labelled training images beside a test folder without classes; YOLO's images and labels, each with splits; EG3D's
    labels, which are cameras; arrays of Python objects."""
    for name in (
        "a/train/ant/1.png",
        "a/train/owl/1.png",
        "a/test/1.png",
        "b/images/train/1.png",
        "b/images/val/2.png",
    ):
        save(tmp_path / name, 8, 0)
    (tmp_path / "b/labels/train").mkdir(parents=True)
    (tmp_path / "b/labels/train/1.txt").write_text("0 .5 .5 .1 .1")
    assert settings_for(tmp_path / "a") == {"source": "imagefolder", "path": str(tmp_path / "a"), "splits": ["train"]}
    assert settings_for(tmp_path / "b")["tree"] == "flat"
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(tmp_path / "a/test/1.png", "00000/1.png")
        archive.writestr("dataset.json", json.dumps({"labels": [["00000/1.png", [0.5] * 25]]}))
    assert settings_for(tmp_path / "set.zip")["tree"] == "flat"
    np.savez(tmp_path / "a.npz", x=np.array([None, "a"], dtype=object))
    with pytest.raises(InputError, match=r"only x \(Python objects, which are never opened"):
        settings_for(tmp_path / "a.npz")


def test_values_that_are_not_finite_say_nothing_of_the_range(tmp_path: Path) -> None:
    for i in range(30):
        pixels = np.random.default_rng(i).uniform(-1, 1, (20, 20)).astype(np.float32)
        pixels[0, :2] = np.nan, np.inf
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"maps/{i}.tif")
    low, high = proposed(tmp_path / "maps", tmp_path)["datasets"]["mine"]["range"]
    assert -1 <= low < -0.99
    assert 0.99 < high <= 1


def test_folders_of_patients_are_groups_and_no_classes(tmp_path: Path) -> None:
    for patient in range(12):
        for cut in range(3):
            save(tmp_path / f"alone/PAT{patient:03}/{cut}.png", 8, 40 * cut + patient)
            save(
                tmp_path / f"nested/{'benign' if patient < 6 else 'malignant'}/b{patient:02}/{cut}.png",
                8,
                40 * cut + patient,
            )
    alone, nested = inspect(tmp_path / "alone", 1), inspect(tmp_path / "nested", 1)
    assert (alone.settings["tree"], alone.classes) == ("flat", {})
    assert (nested.settings["tree"], nested.classes) == ("tops", {"benign": 18, "malignant": 18})
    proposal = propose(nested, "mine", CPU)
    assert "never on both sides of a split" in proposal.text
    pattern = proposal.config["datasets"]["mine"]["group_pattern"]
    origins = ["benign/b00/1.png", "benign/b00/2.png", "held-out/benign/b00/1.png", "malignant/b07/1.png"]
    assert groups_of(origins, None, pattern).tolist() == [0, 0, 0, 1]
    assert "look like patients" in propose(alone, "mine", CPU).left_out["advice"]
    for i in range(40):
        save(tmp_path / f"digits/{i % 10}/{i}.png", 8, i)
    assert settings_for(tmp_path / "digits") == {"source": "imagefolder", "path": str(tmp_path / "digits")}


def test_archives_splits_and_numbered_folders_are_recognised(tmp_path: Path) -> None:
    for name in ("a/train/ant/1.png", "a/test/owl/1.png", "b/00000/1.png", "b/01000/2.png", "c/ant/1.png"):
        save(tmp_path / name, 8, 0)
    assert settings_for(tmp_path / "a")["splits"] == ["test", "train"]
    assert settings_for(tmp_path / "b")["tree"] == "flat"
    assert settings_for(tmp_path / "c") == {"source": "imagefolder", "path": str(tmp_path / "c")}
    arrays = {f"{part}_{kind}": np.zeros(shape, np.uint8) for part, count in (("train", 5), ("val", 3), ("test", 3))
              for kind, shape in (("images", (count, 8, 8)), ("labels", (count, 1)))}  # fmt: skip
    np.savez(tmp_path / "medical.npz", **arrays)
    medical = settings_for(tmp_path / "medical.npz")
    assert medical["images_key"] == ["train_images", "val_images", "test_images"]
    assert medical["labels_key"] == ["train_labels", "val_labels", "test_labels"]
    np.savez(tmp_path / "samples.npz", np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, int))
    assert settings_for(tmp_path / "samples.npz")["labels_key"] == "arr_1"
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for i in range(30):
            archive.write(tmp_path / "c/ant/1.png", f"00000/{i}.png")
        archive.writestr("dataset.json", json.dumps({"labels": [[f"00000/{i}.png", i % 2] for i in range(30)]}))
    config = proposed(tmp_path / "set.zip", tmp_path)
    assert config["datasets"]["mine"]["source"] == "zip"
    assert config["rebalancing"]["datasets"] == ["mine"]


@pytest.mark.parametrize(
    ("low", "high", "kind", "expected"),
    [
        (-1, 1, "f4", [-1, 1]),
        (-0.02, 1.01, "f4", None),
        (0, 3900, ">u2", [0, 4095]),
        (-1000, 2999, "i2", [-1000, 2999]),
        (0, 255, "i8", None),
    ],
)
def test_arrays_whose_type_does_not_say_their_range_get_one(
    tmp_path: Path, low: int, high: int, kind: str, expected: list[int] | None
) -> None:
    values = np.linspace(low, high, 30 * 64).reshape(30, 8, 8).astype(kind)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", images=values, labels=np.eye(3, dtype=int)[np.arange(30) % 3])
    assert settings_for(tmp_path / "a.npy").get("range") == settings_for(tmp_path / "a.npz").get("range") == expected
    dataset = proposed(tmp_path / "a.npz", tmp_path)["datasets"]["mine"]
    assert (dataset["labels_key"], dataset["range"]) == ("labels", expected or "type")


def test_a_table_without_images_and_masks_beside_images_are_seen(tmp_path: Path) -> None:
    for name in ("images/1.png", "masks/1.png"):
        save(tmp_path / "scans" / name, 8, 0)
    assert settings_for(tmp_path / "scans")["splits"] == ["images"]
    parquet.write_table(arrow.table({"a": [1], "b": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"no column holds encoded images, .* only a \(int64\), b \(string\)"):
        settings_for(tmp_path / "a.parquet")


def test_what_cannot_be_made_is_refused_with_a_reason(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    save(tmp_path / "few/0.png", 20, 0)
    for data, name, words in (
        ("", "mine", "DATA is not given"),
        (str(pictures), "My Study", "expected small letters"),
        (str(tmp_path / "nowhere"), "mine", "no such file or folder"),
        (str(pictures / "notes.txt"), "mine", "expected a folder"),
        (str(tmp_path / "few"), "mine", "expected at least 24"),
    ):
        with pytest.raises(InputError, match=words):
            new_config(data, name, folder, CPU)
    assert not folder.exists()
    for i in range(30):
        (tmp_path / f"few/{i}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"the file is empty.* All are listed in .*mine\.problems\.txt"):
        new_config(str(tmp_path / "few"), "mine", folder, CPU)
    assert len((folder / "mine.problems.txt").read_text().splitlines()) == 31
    new_config(str(pictures), "mine", folder, CPU)
    before = (folder / "mine.yaml").read_bytes()
    with pytest.raises(InputError, match="not replaced"):
        new_config(str(pictures), "mine", folder, CPU)
    assert (folder / "mine.yaml").read_bytes() == before


def test_patients_in_names_are_kept_together_and_what_is_left_to_train_on_counts_them(tmp_path: Path) -> None:
    """Whatever groups are held out, each class keeps as many images as the proposal asks for, and 500 are no more."""
    for patient in range(60):
        for view in range(1 + patient % 5):
            save(tmp_path / f"scans/{'ill' if patient % 3 else 'well'}/{patient:05}_{view}.png", 8, 10 * patient + view)
    seen = inspect(tmp_path / "scans", 1)
    assert (seen.count, len(seen.groups), max(seen.groups)) == (180, 60, 5)
    assert seen.together == pytest.approx((1 + 4 + 9 + 16 + 25) / (1 + 2 + 3 + 4 + 5))
    assert "groups: 60, by what the names begin with, as of patients or scenes; each is kept together" in seen.lines()
    proposal = propose(seen, "mine", CPU)
    assert "is what the names begin with, and never on both sides" in proposal.text
    config = proposal.config
    dataset = config["datasets"]["mine"]
    origins = [str(path.relative_to(tmp_path / "scans")) for path in sorted((tmp_path / "scans").rglob("*.png"))]
    groups = groups_of(origins, None, dataset["group_pattern"])
    labels = np.array([origin.startswith("well") for origin in origins], dtype=int)
    imbalance = config["rebalancing"]["imbalance"]
    asked = imbalance.get("counts") or dict.fromkeys(("ill", "well"), imbalance.get("largest"))
    for seed in range(200):
        order, _ = draw_order(labels, dataset["held_out"], seed, dataset["subsets"], groups)
        assert len(order) >= config["distillation"]["training"] >= 100
        assert all((labels[order] == i).sum() >= asked[name] for i, name in enumerate(("ill", "well")))
    with pytest.raises(InputError, match=r"24 readable images in 12 groups, .* leave 15 to train on"):
        propose(replace(seen, count=24, looked_at=24, classes={}, groups=(2,) * 12), "mine", CPU)


def test_a_bright_pixel_does_not_set_the_range_of_a_set(tmp_path: Path) -> None:
    """A defective pixel, or a mark, of 65,535 among 12 bits: the range is that of the others."""
    scans = np.random.default_rng(0).integers(0, 3900, (30, 40, 40), dtype=np.uint16)
    scans[:, 5, 5] = 65_535
    (tmp_path / "scans").mkdir()
    for i, pixels in enumerate(scans):
        Image.fromarray(pixels).save(tmp_path / f"scans/{i}.png")
    seen = inspect(tmp_path / "scans", 1)
    assert "values: wider than bytes, from 0 to 65535; but for 0.1 % at most 4,095" in seen.lines()
    text = propose(seen, "mine", CPU).text
    assert "range: [0, 4095] # 12 bits: but for at most 0.1 % of the values, which become white" in text
    np.savez(tmp_path / "scans.npz", images=scans)
    assert settings_for(tmp_path / "scans.npz")["range"] == [0, 4095]
    scans[:, :2] = 65_535  # a twentieth of the pixels is no defect
    np.savez(tmp_path / "scans.npz", images=scans)
    assert settings_for(tmp_path / "scans.npz")["range"] == [0, 65_535]


def test_stacks_and_photographs_of_telephones_are_told_from_images(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), light) for light in range(30)]
    (tmp_path / "stacks").mkdir()
    for name in "ab":
        pages[0].save(tmp_path / f"stacks/{name}.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match=r"2 readable images, .*; 2 of the files hold several pages"):
        propose(inspect(tmp_path / "stacks", 1), "mine", CPU)
    with pytest.raises(InputError, match="give the folder that it lies in, or save the pages of a stack"):
        settings_for(tmp_path / "stacks/a.tif")
    (tmp_path / "stacks/c.HEIC").write_bytes(b"")
    [note] = inspect(tmp_path / "stacks", 1).notes
    assert note == "files ending in .heic (1) are not read: convert them to JPEG or PNG"


def test_classes_that_differ_in_large_letters_or_in_the_code_of_an_accent_are_told(tmp_path: Path) -> None:
    for name in ("Cat", "cat", "caf\u00e9", "cafe\u0301", "dog"):
        save(tmp_path / f"pets/{name}/1.png", 8, 0)
    notes = inspect(tmp_path / "pets", 1).notes
    assert notes == (
        "classes of nearly the same name count as several: 'Cat', 'cat'; 'cafe\u0301', 'caf\u00e9'; "
        "if they are one, rename them",
    )


def test_labels_are_those_of_the_same_part_whatever_their_order(tmp_path: Path) -> None:
    """Keras' names, with as many test images as training images."""
    images = np.zeros((5, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=images, x_test=images, y_test=np.arange(5), y_train=np.arange(5))
    keys = settings_for(tmp_path / "a.npz")
    assert (keys["images_key"], keys["labels_key"]) == (["x_train", "x_test"], ["y_train", "y_test"])
    images = np.zeros((30, 8, 8), np.uint8)
    ages, numbers, sexes = np.linspace(20, 80, 30), np.arange(30), np.arange(30) % 2
    np.savez(tmp_path / "b.npz", numbers=numbers, ages=ages, sexes=sexes, images=images, labels=numbers % 3)
    assert settings_for(tmp_path / "b.npz")["labels_key"] == "labels"
    np.savez(tmp_path / "b.npz", numbers=numbers, ages=ages, images=images, sexes=sexes)
    assert settings_for(tmp_path / "b.npz")["labels_key"] == "sexes"
    np.savez(tmp_path / "b.npz", numbers=numbers, target=ages, images=images)
    assert inspect(tmp_path / "b.npz", 1).classes == {}


def test_make_passes_a_path_as_it_is_given() -> None:
    command = ["make", "--no-print-directory", "new", "DATA=/nowhere/50 $HOME $(x) 'a", "NAME=mine"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "make new: /nowhere/50 $HOME $(x) 'a: no such file or folder" in done.stderr


@pytest.mark.slow
def test_make_new_tells_what_each_answer_costs_and_its_commands_answer(pictures: Path, tmp_path: Path) -> None:
    for name in (
        "Makefile", "Snakefile", "rules", "workflow_scripts", "resources", "envs", "containers", "report", "profiles",
    ):  # fmt: skip
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to((ROOT / ".venv").resolve())

    def told(*command: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    lines = told("make", "new", f"DATA={pictures}", "NAME=mine").splitlines()
    commands = [line for line in lines if line.endswith(" --configfile config/mine.yaml") and line.startswith("  ")]
    assert [command.split()[1] for command in commands] == ["one_shot", "advice", "diagnosis"]
    assert all(lines[lines.index(command) + 1].startswith("  about ") for command in commands)
    assert sum(line.endswith(" of disk") for line in lines) == 3
    answer = told(*shlex.split(commands[2]))  # the cheapest one
    assert f"mine:\n{(tmp_path / 'results/diagnosis/mine.md').read_text()}" in answer


def test_jobs_wait_for_their_inputs_and_for_cores() -> None:
    def job(threads: int, *needs: int) -> Job:
        return Job("rule", {}, (), None, None, threads, 0, True, False, needs)

    jobs = [job(1), job(1), job(1, 0), job(2, 1, 2)]
    assert schedule(jobs, dict.fromkeys(range(4), 10.0), 2) == (30.0, 2)
    assert schedule(jobs, dict.fromkeys(range(4), 10.0), 1) == (40.0, 1)
    assert schedule(jobs, {3: 5.0}, 2) == (5.0, 1)  # the others are done
