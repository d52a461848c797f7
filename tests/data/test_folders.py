"""Folders of images: every layout that people have, and what is left out of them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.folder_names import are_buckets, splits_in
from workflow_scripts.data.folders import image_folder
from workflow_scripts.data.formats import SUFFIXES
from workflow_scripts.data.source import printable


def save_image(path: Path, value: int = 0, mode: str = "L", size: tuple[int, int] = (6, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(path)
    return path


@pytest.mark.parametrize(
    ("files", "classes", "supers"),
    [
        (["b.png", "a.jpg", "c.webp"], [], {}),
        (["y/1.png", "x/2.png", "x/1.png"], ["x", "y"], {}),
        (["s/x/1.png", "t/x/1.png", "s/y/1.png"], ["s/x", "s/y", "t/x"], {"s": ["s/x", "s/y"], "t": ["t/x"]}),
    ],
)
def test_image_folders_of_every_depth(tmp_path: Path, files: list[str], classes: list[str], supers: dict) -> None:
    for name in files:
        save_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    source = image_folder(tmp_path)
    assert (source.count, source.classes, source.superclasses) == (len(files), classes, supers)
    assert source.left_out == {"other files": ["notes.txt"]}
    assert [source.origin(i) for i in range(source.count)] == sorted(files)
    for i, name in enumerate(sorted(files)):
        label = source.read(i)[1]
        assert (classes[label] if classes else "") == str(Path(name).parent).replace(".", "")


def test_links_that_lead_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    save_image(tmp_path / "in/1.png")
    (tmp_path / "in/2.png").symlink_to(save_image(tmp_path / "outside.png"))
    (tmp_path / "in/3.png").symlink_to(tmp_path / "in/1.png")
    (tmp_path / "in/elsewhere").symlink_to(save_image(tmp_path / "far/4.png").parent)
    assert [image_folder(tmp_path / "in").origin(i) for i in range(2)] == ["1.png", "3.png"]


def test_image_folder_complaints(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file or folder; put"):
        image_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no image"):
        image_folder(tmp_path)
    save_image(tmp_path / "x/1.png")
    (tmp_path / "empty").mkdir()
    assert image_folder(tmp_path).notes == ("the folder empty holds no image (it is empty), and is no class",)
    with pytest.raises(InputError, match=r"1\.png: lies 1 folder.*tree: supers"):
        image_folder(tmp_path, "supers")
    save_image(tmp_path / "stray.png")
    with pytest.raises(InputError, match="expected all images at one depth"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        image_folder(tmp_path / "stray.png")


@pytest.mark.parametrize(
    "suffix", ["bmp", "tif", "gif", "avif", "jfif", "jp2", "ppm", "pgm", "tga", "qoi", "JPG", "webp", "mpo"]
)
def test_every_format_that_pillow_reads_is_read(tmp_path: Path, suffix: str) -> None:
    path = save_image(tmp_path / f"class/a.{suffix}", 100, "RGB")
    if suffix in ("gif", "webp"):  # of an animation, the first frame counts
        frames = [Image.new("RGB", (6, 6), (light,) * 3) for light in (100, 200)]
        frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    image, label = image_folder(tmp_path).read(0)
    assert label == 0
    assert abs(np.asarray(image.convert("L")).mean() - 100) <= 2
    assert ".eps" not in SUFFIXES  # read by running another program


def test_a_name_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    save_image(tmp_path / "a.png").rename(os.fsdecode(folder + b"/\xff.png"))
    source = image_folder(tmp_path)
    assert (source.classes, source.origin(0)) == (["caf\\xe9"], "caf\\xe9/\\xff.png")
    assert source.read(0)[0].size == (6, 6)


def test_junk_is_left_out_and_counted(tmp_path: Path) -> None:
    save_image(tmp_path / "ant/1.png")
    for name in (
        ".ipynb_checkpoints/1.png",
        "__MACOSX/ant/._1.png",
        "ant/._1.jpg",
        "@eaDir/1.png/a.jpg",
        "Temporary Items/2.png",
    ):
        save_image(tmp_path / name)
    for name in ("ant/Thumbs.db", ".DS_Store", "ant/desktop.ini", "ant/1.png:Zone.Identifier"):
        (tmp_path / name).write_bytes(b"")
    source = image_folder(tmp_path)
    assert (source.count, source.classes, list(source.left_out)) == (1, ["ant"], ["junk"])
    assert len(source.left_out["junk"]) == 9


def test_splits_are_never_classes(tmp_path: Path) -> None:
    for name in ("train/ant/1.png", "train/owl/1.png", "Test/ant/1.png", "extra/ant/1.png"):
        save_image(tmp_path / name)
    with pytest.raises(InputError, match=r"Test, extra, train look like splits.*`splits: \[Test, extra, train\]`"):
        image_folder(tmp_path)
    both = image_folder(tmp_path, splits=["train", "Test"])
    assert both.classes == ["ant", "owl"]
    assert [(both.origin(i), both.read(i)[1]) for i in range(3)] == [
        ("Test/ant/1.png", 0),
        ("train/ant/1.png", 0),
        ("train/owl/1.png", 1),
    ]
    assert "1 images outside the splits" in both.notes[0]
    with pytest.raises(InputError, match="no folder val with images"):
        image_folder(tmp_path, splits=["val"])


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["train/1.png", "val/1.png"], (0, ["train", "val"])),
        (["training/a/1.png", "valid/a/1.png", "dev/a/2.png"], (0, ["dev", "training", "valid"])),
        (["ant/train/1.png", "ant/test/1.png", "owl/test/1.png"], (1, ["test", "train"])),
        (["set/train/ant/1.png"], (1, ["train"])),
        (["train2017/1.png", "val2017/1.png"], (0, ["train2017", "val2017"])),
        (["training_set/a/1.png", "test_set/a/1.png"], (0, ["test_set", "training_set"])),
        (["imagesTr/1.png", "imagesTs/1.png"], (0, ["imagesTr", "imagesTs"])),
        (["fold_1/a/1.png", "fold_2/a/1.png"], (0, ["fold_1", "fold_2"])),
        (["train/1.png", "bus/1.png", "tester/1.png"], (0, [])),  # vehicles
        (["v1/data/train/ant/1.png", "v1/data/val/ant/1.png"], (2, ["train", "val"])),
        (["ant/1.png", "test/1.png"], (0, [])),  # one of several: a class by that name
        (["1.png"], (0, [])),
    ],
)
def test_splits_are_recognised(paths: list[str], expected: tuple[int, list[str]]) -> None:
    assert splits_in(paths) == expected


def test_numbered_parts_are_no_classes_if_the_user_says_so(tmp_path: Path) -> None:
    for name in ("00000/1.png", "01000/2.png", "02000/deep/er/3.png"):
        save_image(tmp_path / name)
    flat = image_folder(tmp_path, "flat")
    assert (flat.count, flat.classes, flat.read(2)[1]) == (3, [], -1)
    (tmp_path / "02000/deep/er/3.png").rename(tmp_path / "02000/3.png")
    (tmp_path / "02000/deep/er").rmdir()
    (tmp_path / "02000/deep").rmdir()
    assert "look like numbered parts" in image_folder(tmp_path).notes[0]
    assert are_buckets([f"{i:02x}" for i in range(256)])
    assert not are_buckets([str(i) for i in range(10)])  # digits are classes
    assert not are_buckets(["n01440764", "n01443537"])


def test_a_class_without_a_readable_image_stops_and_names_its_suffixes(tmp_path: Path) -> None:
    save_image(tmp_path / "ant/1.png")
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl/1.heic").write_bytes(b"")
    with pytest.raises(InputError, match=r"owl: a class folder without a readable image \(1 \.heic\)"):
        image_folder(tmp_path)
    (tmp_path / "owl/1.heic").rename(tmp_path / "owl/notes.txt")
    assert "the folder owl holds no image (1 .txt), and is no class" in image_folder(tmp_path).notes


def test_links_out_of_the_folder_are_named_or_followed(tmp_path: Path) -> None:
    save_image(tmp_path / "store/ant/1.png")
    save_image(tmp_path / "view/owl/1.png")
    (tmp_path / "view/ant").symlink_to(tmp_path / "store/ant")
    (tmp_path / "view/owl/2.png").symlink_to(tmp_path / "store/ant/1.png")
    (tmp_path / "view/owl/round").symlink_to(tmp_path / "view")
    source = image_folder(tmp_path / "view")
    assert source.left_out["links"] == ["ant", "owl/2.png", "owl/round"]
    assert "3 links, such as ant, lead out of the folder" in source.notes[0]
    followed = image_folder(tmp_path / "view", follow_links=True)
    assert [followed.origin(i) for i in range(followed.count)] == ["ant/1.png", "owl/1.png", "owl/2.png"]
    (tmp_path / "only").mkdir()
    (tmp_path / "only/1.png").symlink_to(tmp_path / "store/ant/1.png")
    with pytest.raises(InputError, match=r"holds no image, but 1 links out of it.*follow_links: true"):
        image_folder(tmp_path / "only")


def test_links_to_nothing_are_named(tmp_path: Path) -> None:
    save_image(tmp_path / "owl/1.png")
    (tmp_path / "owl/2.png").symlink_to(tmp_path / "moved/2.png")
    for follow in (False, True):
        source = image_folder(tmp_path, follow_links=follow)
        assert (source.count, source.left_out) == (1, {"links to nothing": ["owl/2.png"]})
        assert source.notes == ("1 links, such as owl/2.png, lead to nothing",)
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant/1.png").symlink_to(tmp_path / "moved/1.png")
    with pytest.raises(InputError, match=r"ant: a class folder with links to nothing \(1\); restore"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match=r"holds no image, but 1 links to nothing, such as 1\.png"):
        image_folder(tmp_path / "ant")


def test_a_pipe_named_like_an_image_is_not_waited_for(tmp_path: Path) -> None:
    save_image(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert image_folder(tmp_path).count == 1


def test_the_labels_of_stylegan_come_before_its_numbered_folders(tmp_path: Path) -> None:
    names = ["00000/img00000000.png", "00000/img00000001.png", "00001/img00001000.png"]
    for name in names:
        save_image(tmp_path / name)
    labels = [[name, label] for name, label in zip(names, (10, 2, 10), strict=True)]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    source = image_folder(tmp_path)
    assert (source.classes, [source.read(i)[1] for i in range(3)]) == (["2", "10"], [1, 0, 1])
    assert source.left_out == {}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": None}))
    assert image_folder(tmp_path).classes == []
    cameras = [[name, [0.5] * 25] for name in names]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": cameras}))
    with pytest.raises(InputError, match="a whole number for each image as its label; `tree: flat` reads"):
        image_folder(tmp_path)
    assert image_folder(tmp_path, "flat").count == 3
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels[:2]}))
    with pytest.raises(InputError, match=r"img00001000\.png: dataset\.json has no label for it"):
        image_folder(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "background"}}))  # another program's
    assert image_folder(tmp_path).classes == ["00000", "00001"]


def test_the_labels_of_stylegan_are_found_in_a_folder_around_all(tmp_path: Path) -> None:
    for name in ("set/00000/1.png", "set/00001/2.png"):
        save_image(tmp_path / name)
    (tmp_path / "set/dataset.json").write_text(json.dumps({"labels": [["00000/1.png", 4], ["00001/2.png", 3]]}))
    source = image_folder(tmp_path)
    assert (source.classes, [source.read(i)[1] for i in range(2)], source.left_out) == (["3", "4"], [1, 0], {})


def test_a_folder_around_all_classes_is_no_super_class(tmp_path: Path) -> None:
    for name in ("mydata/ant/1.png", "mydata/owl/2.png"):
        save_image(tmp_path / name)
    source = image_folder(tmp_path)
    assert (source.classes, source.superclasses) == (["ant", "owl"], {})


def test_splits_and_classes_below_several_folders_are_found(tmp_path: Path) -> None:
    for name in ("v1/data/train/ant/1.png", "v1/data/val/owl/2.png"):
        save_image(tmp_path / name)
    source = image_folder(tmp_path, splits=["train", "val"])
    assert (source.classes, source.superclasses) == (["ant", "owl"], {})


def test_a_class_whose_files_lie_deeper_does_not_vanish(tmp_path: Path) -> None:
    save_image(tmp_path / "ant/1.png")
    (tmp_path / "owl/raw").mkdir(parents=True)
    (tmp_path / "owl/raw/1.heic").write_bytes(b"")
    with pytest.raises(InputError, match=r"owl: a class folder without a readable image \(1 \.heic\)"):
        image_folder(tmp_path)


def test_names_stay_on_one_line(tmp_path: Path) -> None:
    save_image(tmp_path / "a\nb/1\t.png")
    source = image_folder(tmp_path)
    assert (source.classes, source.origin(0)) == (["a\\x0ab"], "a\\x0ab/1\\x09.png")
    assert printable("\ud800é😀") == "\\ud800é😀"  # half a character, as JSON can hold


def test_masks_beside_images_are_no_class(tmp_path: Path) -> None:
    for name in ("images/1.png", "masks/1.png"):
        save_image(tmp_path / name)
    with pytest.raises(InputError, match=r"images and masks look like images and what was drawn.*`splits: \[images\]`"):
        image_folder(tmp_path)
    only = image_folder(tmp_path, splits=["images"])
    assert (only.count, only.classes) == (1, [])
    assert image_folder(tmp_path, "classes").classes == ["images", "masks"]


def test_images_without_a_suffix_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    for kind in ("png", "jpg", "gif", "tif", "bmp", "webp", "avif", "jp2"):
        save_image(tmp_path / f"{kind}.{kind}", 0, "RGB").rename(tmp_path / kind)
    (tmp_path / "letter").write_text("BMW is not a bitmap, nor is this")
    (tmp_path / "sound").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    source = image_folder(tmp_path)
    assert (source.count, source.left_out) == (8, {"other files": ["letter", "sound"]})


def test_links_to_themselves_and_images_without_a_suffix(tmp_path: Path) -> None:
    save_image(tmp_path / "ant/1.png").rename(tmp_path / "ant/3f2a")
    (tmp_path / "ant/2.png").symlink_to(tmp_path / "ant/2.png")
    (tmp_path / "ant/README").write_text("none")
    source = image_folder(tmp_path)
    assert [source.origin(i) for i in range(source.count)] == ["ant/3f2a"]
    assert source.left_out == {"other files": ["ant/README"], "links to nothing": ["ant/2.png"]}
    assert image_folder(tmp_path, follow_links=True).count == 1


@pytest.mark.parametrize(
    ("name", "way"), [("a.dcm", "DICOM to PNG of 16 bits"), ("a.heic", "to JPEG"), ("a.npy", "stack")]
)
def test_files_of_another_kind_are_named_with_a_way_out(tmp_path: Path, name: str, way: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"holds no image, but 1 \{Path(name).suffix} \(.*{way}"):
        image_folder(tmp_path)
