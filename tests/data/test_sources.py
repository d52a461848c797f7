"""Every source: its real loading code on small data, and one clear message for each kind of bad input."""

import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from filelock import FileLock, Timeout
from PIL import Image

from tests.conftest import ROOT
from workflow_scripts.core.errors import InputError
from workflow_scripts.data.sources import array_set, image_folder, open_source, read_idx, shipped_set, torchvision_set

SHIPPED = ROOT / "resources/fashion-mnist-test"


def save_image(path: Path, value: int = 0, mode: str = "L", size: tuple[int, int] = (6, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(path)
    return path


def write_idx(path: Path, array: np.ndarray) -> Path:
    content = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_the_shipped_set_is_complete_and_balanced() -> None:
    source = shipped_set(SHIPPED)
    assert source.count == 10_000
    assert "MIT" in source.licence
    _, labels = source.block(0, source.count)
    np.testing.assert_array_equal(np.bincount(labels), [1000] * 10)
    assert sorted(name for names in source.superclasses.values() for name in names) == sorted(source.classes)
    image, label = source.read(0)
    assert image.size == (28, 28)
    assert source.classes[label] == "Ankle boot"


def test_a_changed_shipped_file_is_noticed(tmp_path: Path) -> None:
    copy = shutil.copytree(SHIPPED, tmp_path / "set")
    labels = copy / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(labels.read_bytes())
    content[100] ^= 1
    labels.write_bytes(content)
    with pytest.raises(InputError, match=r"t10k-labels.*SHA-256.*git checkout"):
        shipped_set(copy)


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
    assert (source.count, source.classes, source.superclasses, source.ignored) == (len(files), classes, supers, 1)
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
    with pytest.raises(InputError, match="empty: a class folder without images"):
        image_folder(tmp_path)
    (tmp_path / "empty").rmdir()
    with pytest.raises(InputError, match=r"1\.png: lies 1 folder.*tree: flat"):
        image_folder(tmp_path, "flat")
    save_image(tmp_path / "stray.png")
    with pytest.raises(InputError, match="expected all images at one depth"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        image_folder(tmp_path / "stray.png")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files(tmp_path: Path, suffix: str) -> None:
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(read_idx(write_idx(tmp_path / f"images{suffix}", images), 3), images)
    with pytest.raises(InputError, match="expected unsigned bytes in 1"):
        read_idx(tmp_path / f"images{suffix}", 1)
    whole = (tmp_path / f"images{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(whole[: len(whole) - 6])
    with pytest.raises(InputError, match="not a readable IDX file"):
        read_idx(tmp_path / f"cut{suffix}", 3)


def test_npz_and_npy_files(tmp_path: Path) -> None:
    images, labels = np.zeros((3, 5, 5, 3), np.uint8), np.array([7, 3, 7])
    np.savez(tmp_path / "set.npz", x=images, y=labels)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    npz = open_source(
        {"source": "npz", "path": str(tmp_path / "set.npz"), "images_key": "x", "labels_key": "y"}, tmp_path
    )
    npy = open_source(
        {"source": "npy", "images": str(tmp_path / "images.npy"), "labels": str(tmp_path / "labels.npy")}, tmp_path
    )
    for source in (npz, npy):
        assert source.classes == ["3", "7"]
        assert [source.read(i)[1] for i in range(3)] == [1, 0, 1]
    with pytest.raises(InputError, match=r"has no array 'z', only x, y"):
        open_source(
            {"source": "npz", "path": str(tmp_path / "set.npz"), "images_key": "z", "labels_key": None}, tmp_path
        )
    (tmp_path / "labels.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"labels\.npy: not a readable NumPy file"):
        open_source(
            {"source": "npy", "images": str(tmp_path / "images.npy"), "labels": str(tmp_path / "labels.npy")}, ""
        )


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 4, 4)), None, "float64"),
        (np.zeros((3, 4, 4, 2), np.uint8), None, "expected uint8 images"),
        (np.zeros((3, 4), np.uint8), None, "expected uint8 images"),
        (np.zeros((3, 4, 4), np.uint8), np.zeros(2, int), r"3 images, but its labels are int64 of shape \(2,\)"),
        (np.zeros((3, 4, 4), np.uint8), np.zeros(3), "one integer for each image"),
    ],
)
def test_arrays_that_are_no_image_set(images: np.ndarray, labels: np.ndarray | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        array_set("a.npy", images, labels)


def test_a_pickled_array_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"evil\.npy"):
        open_source({"source": "npy", "images": str(tmp_path / "evil.npy"), "labels": None}, tmp_path)


def test_torchvision_sets_are_read_from_a_local_root(tmp_path: Path) -> None:
    """The real FashionMNIST class on files laid out as torchvision lays them."""
    raw = tmp_path / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, count in (("train", 5), ("t10k", 3)):
        write_idx(raw / f"{split}-images-idx3-ubyte", random.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(raw / f"{split}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8))
    source = torchvision_set("FashionMNIST", str(tmp_path), ["train", "test"], download=False)
    assert (source.count, source.classes[5], source.origin(6)) == (8, "Sandal", "test/1")
    assert source.read(6)[1] == 1


def test_a_download_is_one_runs_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fetched(torchvision.datasets.VisionDataset):
        def __init__(self, root: str, train: bool, download: bool) -> None:
            super().__init__(root)
            with pytest.raises(Timeout):
                FileLock(Path(root) / ".Fetched.lock").acquire(timeout=0)

        def __len__(self) -> int:
            return 3

    monkeypatch.setattr(torchvision.datasets, "Fetched", Fetched, raising=False)
    assert torchvision_set("Fetched", str(tmp_path / "new"), ["train", "test"], download=True).count == 6


def test_torchvision_complaints(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set 'Nope'"):
        torchvision_set("Nope", str(tmp_path), ["train"], download=False)
    with pytest.raises(InputError, match=r"cannot be loaded from .*download: false"):
        torchvision_set("CIFAR10", str(tmp_path), ["train"], download=False)
    with pytest.raises(InputError, match="has train and test, not 'val'"):
        torchvision_set("CIFAR10", str(tmp_path), ["val"], download=False)
    with pytest.raises(InputError, match="Flowers102"):
        torchvision_set("Flowers102", str(tmp_path), ["train"], download=False)


def test_every_shipped_file_has_a_checksum() -> None:
    about = json.loads((SHIPPED / "about.json").read_text())
    assert set(about["sha256"]) == {path.name for path in SHIPPED.glob("*.gz")}
