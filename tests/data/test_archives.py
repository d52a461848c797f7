"""Archives and tables: StyleGAN's and other zip files, WebDataset's tars, Hugging Face's Parquet files."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data import tables
from workflow_scripts.data.archives import webdataset_set, zip_set
from workflow_scripts.data.decoding import Shape
from workflow_scripts.data.packing import BadImages, pack
from workflow_scripts.data.source import Source
from workflow_scripts.data.tables import parquet_set


def png(light: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (6, 6), light).save(buffer, "PNG")
    return buffer.getvalue()


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def shown(source: Source) -> list[tuple[str, int, str]]:
    """Origin, lightness and class of each image."""
    images = [(source.origin(i), *source.read(i)) for i in range(source.count)]
    return [
        (name, int(np.asarray(image)[0, 0]), source.classes[label] if label >= 0 else "")
        for name, image, label in images
    ]


def test_a_zip_of_stylegan_has_the_classes_of_its_table(tmp_path: Path) -> None:
    names = ["00000/img00000000.png", "00000/img00000001.png", "00001/img00001000.png"]
    labels = {"labels": [[name, label] for name, label in zip(names, (10, 2, 10), strict=True)]}
    members = {name: png(i) for i, name in enumerate(names)} | {"dataset.json": json.dumps(labels).encode()}
    source = zip_set(write_zip(tmp_path / "dataset.zip", members))
    assert shown(source) == [(names[0], 0, "10"), (names[1], 1, "2"), (names[2], 2, "10")]
    assert source.classes == ["2", "10"]
    assert source.left_out == {}
    members["dataset.json"] = b'{"labels": null}'
    assert zip_set(write_zip(tmp_path / "dataset.zip", members)).classes == []


def test_any_other_zip_is_read_by_its_folders(tmp_path: Path) -> None:
    members = {"train/owl/1.png": png(1), "test/ant/1.png": png(2), "__MACOSX/train/._1.png": b"", "read.me": b""}
    path = write_zip(tmp_path / "a.zip", members)
    with pytest.raises(InputError, match=r"splits: \[test, train\]"):
        zip_set(path)
    source = zip_set(path, splits=["train", "test"])
    assert shown(source) == [("test/ant/1.png", 2, "ant"), ("train/owl/1.png", 1, "owl")]
    assert source.left_out == {"other files": ["read.me"], "junk": ["__MACOSX/train/._1.png"]}


def test_the_tars_of_webdataset_have_the_classes_of_their_samples(tmp_path: Path) -> None:
    for shard, numbers in (("a.tar", (0, 1)), ("b.tar", (2,))):
        members = {}
        for i in numbers:
            members |= {f"{i:03}.png": png(i), f"{i:03}.cls": str(10 - i).encode(), f"{i:03}.txt": b"a caption"}
            members[f"{i:03}.json"] = json.dumps({"label": "ab"[i % 2]}).encode()
        write_tar(tmp_path / shard, members)
    source = webdataset_set(tmp_path)
    assert shown(source) == [("a.tar/000.png", 0, "10"), ("a.tar/001.png", 1, "9"), ("b.tar/002.png", 2, "8")]
    assert source.classes == ["8", "9", "10"]
    assert [name for *_, name in shown(webdataset_set(tmp_path / "a.tar", "label"))] == ["a", "b"]
    assert webdataset_set(write_tar(tmp_path / "c.tar", {"x/1.png": png(0)})).classes == []
    with pytest.raises(InputError, match=r"001\.png: its class cannot be read \(KeyError"):
        webdataset_set(write_tar(tmp_path / "c.tar", {"001.png": png(0), "001.json": b"{}"}), "label")


def test_the_parquet_files_of_hugging_face_have_named_classes(tmp_path: Path) -> None:
    names = {"info": {"features": {"label": {"names": ["owl", "ant"], "_type": "ClassLabel"}}}}
    for part in range(2):
        cells = [{"bytes": png(2 * part + i), "path": f"{i}.png"} for i in range(2)]
        table = arrow.table({"image": cells, "label": [1, 0], "text": ["b", "a"]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
        parquet.write_table(table, tmp_path / f"train-0000{part}-of-00002.parquet", row_group_size=1)
    source = parquet_set(tmp_path, "image", "label")
    assert [(light, name) for _, light, name in shown(source)] == [(0, "ant"), (1, "owl"), (2, "ant"), (3, "owl")]
    assert source.classes == ["owl", "ant"]
    assert parquet_set(tmp_path, "image", "text").classes == ["a", "b"]
    assert parquet_set(tmp_path, "image", None).classes == []
    with pytest.raises(InputError, match=r"no column 'picture', only image, label, text"):
        parquet_set(tmp_path, "picture", None)
    packed = pack(source, Shape(8, 1, "crop"), tmp_path / "images.npy", threads=2)
    assert packed.origins[2] == "train-00001-of-00002.parquet/row 0 of part 0"


def test_a_class_of_a_zip_does_not_vanish(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"elk: a class folder without a readable image \(2 \.heic\)"):
        zip_set(write_zip(tmp_path / "a.zip", {"ant/1.png": png(1), "elk/1.heic": b"", "elk/2.heic": b""}))
    listed = {"labels": [["1.png", 5]]}
    members = {"My Set/1.png": png(1), "My Set/dataset.json": json.dumps(listed).encode()}
    assert shown(zip_set(write_zip(tmp_path / "b.zip", members))) == [("My Set/1.png", 1, "5")]


def test_masks_beside_the_image_of_a_sample_are_left_out(tmp_path: Path) -> None:
    members = {"1.png": png(1), "1.seg.png": png(9), "1.cls": b"0", "2.left.png": png(2), "2.right.png": png(3)}
    source = webdataset_set(write_tar(tmp_path / "a.tar", members))
    assert [light for _, light, _ in shown(source)] == [1, 2, 3]
    assert source.left_out == {"further images of a sample": ["1.seg.png"]}
    both = {"1.png": png(9), "1.JPG": png(1), "1.cls": b"0", "2.jpg": png(2), "3.png": png(3)}  # a mask, or a copy
    source = webdataset_set(write_tar(tmp_path / "b.tar", both))
    assert [light for _, light, _ in shown(source)] == [1, 2, 3]
    assert source.left_out == {"further images of a sample": ["1.png"]}


def test_the_fields_of_a_column_are_read(tmp_path: Path) -> None:
    cells = [{"image": {"bytes": png(i), "path": None}, "label": i % 2} for i in range(4)]
    parquet.write_table(arrow.table({"sample": cells}), tmp_path / "a.parquet", row_group_size=2)
    source = parquet_set(tmp_path / "a.parquet", "sample.image", "sample.label")
    assert [(light, name) for _, light, name in shown(source)] == [(0, "0"), (1, "1"), (2, "0"), (3, "1")]
    with pytest.raises(InputError, match=r"no column 'sample\.picture', only sample"):
        parquet_set(tmp_path / "a.parquet", "sample.picture", None)


def test_paths_of_windows_and_plain_tars_keep_their_classes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(("ant\\1.png", "owl\\1.png")):
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, png(i))
    assert shown(zip_set(path)) == [("ant/1.png", 0, "ant"), ("owl/1.png", 1, "owl")]
    source = webdataset_set(write_tar(tmp_path / "a.tar", {"set/owl/1.png": png(1), "set/ant/2.png": png(2)}))
    assert [name for *_, name in shown(source)] == ["owl", "ant"]
    assert "their folders count as classes" in source.notes[0]
    here = {f"./set/{name}": content for name, content in (("1.png", png(5)), ("1.cls", b"7"), (".1.png", b""))}
    source = webdataset_set(write_tar(tmp_path / "c.tar", here))  # as `tar -cf c.tar ./set` names them
    assert (shown(source), source.left_out) == ([("c.tar/set/1.png", 5, "7")], {"junk": ["set/.1.png"]})
    assert shown(zip_set(write_zip(tmp_path / "c.zip", {"./ant/1.png": png(5)}))) == [("ant/1.png", 5, "ant")]
    assert webdataset_set(write_tar(tmp_path / "d.tar", {"1.png": png(5)})).notes == ()
    empty = webdataset_set(
        write_tar(tmp_path / "e.tar", {"1.png": png(1), "1.cls": b"", "2.png": png(2), "2.cls": b"4"})
    )
    assert [name for *_, name in shown(empty)] == ["", "4"]
    nested = write_tar(tmp_path / "f.tar", {"1.png": png(1), "1.json": b'{"a": {"b": 1}}'})
    with pytest.raises(InputError, match=r"its class cannot be read .*a dict, expected a whole number or text"):
        webdataset_set(nested, "a")
    cut = zip_set(write_zip(tmp_path / "g.zip", {"ant/1.png": png(1)[:40]}))
    with pytest.raises(BadImages, match=r"not a readable image \(cannot identify image file\)"):
        pack(cut, Shape(8, 1, "crop"), tmp_path / "images.npy")
    with tarfile.open(tmp_path / "b.tar", "w:gz"):
        pass
    with pytest.raises(InputError, match=r"b\.tar: .*it is compressed: unpack it"):
        webdataset_set(tmp_path / "b.tar")


def test_a_large_part_of_a_table_is_read_a_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(arrow.table({"image": [png(i) for i in range(200)]}), tmp_path / "a.parquet")
    for name, value in (("WHOLE", 0), ("ROWS", 8), ("KEPT", 3)):
        monkeypatch.setattr(tables, name, value)
    source = parquet_set(tmp_path / "a.parquet", "image", None)
    for i in (*range(200), 3, 150, 149, 130, 131):
        assert np.asarray(source.read(i)[0])[0, 0] == i


def test_labels_that_pandas_made_floats_and_cells_without_bytes(tmp_path: Path) -> None:
    cells = [{"bytes": png(i), "path": "a.png"} for i in range(3)] + [{"bytes": None, "path": "b.png"}]
    parquet.write_table(arrow.table({"image": cells, "label": [1.0, 0.0, float("nan"), 1.0]}), tmp_path / "a.parquet")
    source = parquet_set(tmp_path / "a.parquet", "image", "label")
    assert [source.read(i)[1] for i in range(3)] == [1, 0, -1]
    with pytest.raises(ValueError, match=r"only the path b\.png: embed the files"):
        source.read(3)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.parquet"])
@settings(max_examples=60)
@given(
    cut=st.one_of(st.none(), st.integers(0, 3000)),
    changes=st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=8)), max_size=4),
    junk=st.one_of(st.none(), st.binary(max_size=300)),
)
def test_damaged_archives_give_images_or_are_named(tmp_path_factory, name, cut, changes, junk) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    members = {"000.png": png(1), "000.cls": b"1", "dataset.json": b'{"labels": [["000.png", 1]]}'}
    if name == "a.zip":
        write_zip(folder / name, members)
    elif name == "a.tar":
        write_tar(folder / name, members)
    else:
        parquet.write_table(arrow.table({"image": [png(1)], "label": [1]}), folder / name)
    content = bytearray(junk if junk is not None else (folder / name).read_bytes())
    for place, part in changes:
        at = place % (len(content) + 1)
        content[at : at + len(part)] = part
    (folder / name).write_bytes(bytes(content[:cut]))
    readers = {"a.zip": zip_set, "a.tar": webdataset_set, "a.parquet": lambda path: parquet_set(path, "image", "label")}
    try:
        source = readers[name](folder / name)
        pack(source, Shape(8, 1, "crop"), folder / "images.npy", "skip")
    except InputError as error:
        if name not in str(error):
            raise
