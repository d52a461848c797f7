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
from workflow_scripts.config.datasets import SOURCES
from workflow_scripts.core.errors import InputError
from workflow_scripts.data.arrays import array_set, read_idx, shipped_set
from workflow_scripts.data.source import Source
from workflow_scripts.data.sources import open_source
from workflow_scripts.data.torchvision_sets import torchvision_set

SHIPPED = ROOT / "resources/fashion-mnist-test"


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
    npz = open_source({"source": "npz", "path": str(tmp_path / "set.npz"), "images_key": "x", "labels_key": "y"})
    npy = open_source({"source": "npy", "images": str(tmp_path / "images.npy"), "labels": str(tmp_path / "labels.npy")})
    for source in (npz, npy):
        assert source.classes == ["3", "7"]
        assert [source.read(i)[1] for i in range(3)] == [1, 0, 1]
    with pytest.raises(InputError, match=r"has no array 'z', only x, y"):
        open_source({"source": "npz", "path": str(tmp_path / "set.npz"), "images_key": "z", "labels_key": None})
    (tmp_path / "labels.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"labels\.npy: not a readable NumPy file"):
        open_source({"source": "npy", "images": str(tmp_path / "images.npy"), "labels": str(tmp_path / "labels.npy")})


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.full((3, 4, 4), -1.0), None, r"its float64 values go from -1 to -1.*`range: \[-1, -1\]`"),
        (np.full((3, 4, 8, 8), -0.5, np.float32), None, "decode the latents"),
        (np.full((3, 4, 4), np.nan), None, "not finite"),
        (np.zeros((3, 4, 4), complex), None, "expected images"),
        (np.zeros((3, 4, 4, 2), np.uint8), None, "expected images"),
        (np.zeros((3, 5), np.uint8), None, r"expected images \(N, H, W\), .* channels$"),
        (np.zeros((3, 784), np.uint8), None, r"save images\.reshape\(-1, 28, 28\)$"),
        (
            np.zeros((3, 3072), np.uint8),
            None,
            r"images\.reshape\(-1, 3, 32, 32\) where .*CIFAR's, else .*\(-1, 32, 32, 3\)",
        ),
        (np.zeros((32, 32, 3), np.uint8), None, "holds one image of shape .* stack all"),
        (np.zeros((28, 28, 90), np.uint8), None, r"28 images of 28 x 90 px; .* numpy\.moveaxis\(images, -1, 0\)"),
        (np.uint8(3), None, "expected images"),
        (np.zeros((3, 4, 4), np.uint8), np.zeros(2, int), r"3 images, but its labels are int64 of shape \(2,\)"),
        (np.zeros((3, 4, 4), np.uint8), np.full(3, 0.5), "one integer for each image"),
    ],
)
def test_arrays_that_are_no_image_set(images: np.ndarray, labels: np.ndarray | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        array_set("a.npy", images, labels)


@pytest.mark.parametrize(
    ("images", "limits", "first"),
    [
        (np.array([[[0.0, 1.0]], [[0.5, 0.2]]]), "type", [0, 255]),
        (np.array([[[-0.03, 1.0000002]]], np.float32), "type", [0, 255]),  # scaling has overshot
        (np.array([[[0, 65_535]]], np.uint16), "type", [0, 255]),
        (np.array([[[False, True]]]), "type", [0, 255]),
        (np.array([[[0, 200]]], np.int64), "type", [0, 200]),
        (np.array([[[0.0, 200.0]]]), "type", [0, 200]),
        (np.array([[[0, 1]]], np.uint8), "type", [0, 1]),
        (np.array([[[0, 1]]], np.uint8), "set", [0, 255]),
        (np.array([[[-1.0, 1.0]]]), [-1, 1], [0, 255]),
        (np.array([[[0, 4095]]], np.uint16), [0, 4095], [0, 255]),
    ],
)
def test_values_of_every_type_become_bytes(images: np.ndarray, limits: str | list[float], first: list[int]) -> None:
    source = array_set("a", images, None, limits)
    assert source.block(0, 1)[0].ravel().tolist() == first
    assert np.asarray(source.read(0)[0]).ravel().tolist() == first
    assert bool(source.notes) == ((images.dtype != np.uint8 and isinstance(limits, str)) or limits == "set")


@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        (np.array([[7], [3]]), ["3", "7"], [1, 0]),
        (np.array([[0, 0, 1], [1, 0, 0]]), ["0", "2"], [1, 0]),
        (np.array([1.0, 0.0]), ["0", "1"], [1, 0]),
        (np.array(["owl", "ant"]), ["ant", "owl"], [1, 0]),
        (np.array([True, False]), ["0", "1"], [1, 0]),
    ],
)
def test_labels_of_every_form_become_classes(labels: np.ndarray, classes: list[str], codes: list[int]) -> None:
    source = array_set("a", np.zeros((2, 4, 4), np.uint8), labels)
    assert (source.classes, source.block(0, 2)[1].tolist()) == (classes, codes)
    some = array_set("a", np.zeros((3, 4, 4), np.uint8), np.array([0, -1, 1]))
    assert some.notes == ("its label -1 (1 images) counts as a class like the others",)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2), (1, 2, 3, 0)])
def test_images_are_found_on_the_axis_where_others_put_them(order: tuple[int, ...]) -> None:
    """NumPy's order, PyTorch's, and MATLAB's, as SVHN has it."""
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 9, 3), dtype=np.uint8)
    source = array_set("a", images.transpose(order), None)
    np.testing.assert_array_equal(source.block(0, 20)[0], images)
    assert bool(source.notes) == (order != (0, 1, 2, 3))
    grey = array_set("a", images[..., 0].transpose(1, 2, 0), np.arange(20)[None] % 3)  # the labels say how many
    np.testing.assert_array_equal(grey.block(0, 20)[0][..., 0], images[..., 0])
    assert grey.classes == ["0", "1", "2"]


def test_the_arrays_of_several_keys_are_put_together_and_channels_may_come_first(tmp_path: Path) -> None:
    arrays = {f"{part}_images": np.full((2, 3, 5, 5), i, np.uint8) for i, part in enumerate(("train", "test"))}
    arrays |= {f"{part}_labels": np.full((2, 1), i) for i, part in enumerate(("train", "test"))}
    np.savez(tmp_path / "a.npz", **arrays, odd=np.zeros((2, 4, 4), np.uint8))
    images, labels = (["train_images", "test_images"], ["train_labels", "test_labels"])
    dataset = {"source": "npz", "path": str(tmp_path / "a.npz"), "images_key": images, "labels_key": labels}
    source = open_source(dataset)
    pixels, codes = source.block(0, 4)
    assert (pixels.shape, pixels[:, 0, 0, 0].tolist(), codes.tolist()) == ((4, 5, 5, 3), [0, 0, 1, 1], [0, 0, 1, 1])
    with pytest.raises(InputError, match=r"odd \(2, 4, 4, 1\): expected arrays that differ in their first size"):
        open_source(dataset | {"images_key": ["train_images", "odd"]})


def test_a_pickled_array_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"evil\.npy"):
        open_source({"source": "npy", "images": str(tmp_path / "evil.npy"), "labels": None})


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
    for name, words in (("CocoDetection", "needs annFile"), ("FakeData", "is not read from a folder")):
        with pytest.raises(InputError, match=f"{name}: no classification set.*{words}"):
            torchvision_set(name, str(tmp_path), ["train"], download=False)
    with pytest.raises(InputError, match="Caltech101 has none; leave `splits` out"):
        torchvision_set("Caltech101", str(tmp_path), ["train", "test"], download=False)


def test_the_classes_of_caltech_have_names(tmp_path: Path) -> None:
    for name in ("ant", "crab"):
        folder = tmp_path / f"caltech101/101_ObjectCategories/{name}"
        folder.mkdir(parents=True)
        Image.new("L", (6, 6)).save(folder / "image_0001.jpg")
    for name in ("101_ObjectCategories/BACKGROUND_Google", "Annotations"):
        (tmp_path / "caltech101" / name).mkdir()
    source = torchvision_set("Caltech101", str(tmp_path), ["train"], download=False)
    assert source.classes == ["ant", "crab"]
    assert [source.read(i)[1] for i in range(2)] == [0, 1]


def test_every_shipped_file_has_a_checksum() -> None:
    manifest = json.loads((SHIPPED / "about.json").read_text())
    assert set(manifest["sha256"]) == {path.name for path in SHIPPED.glob("*.gz")}


def test_held_out_images_that_would_be_trained_on_are_refused(tmp_path: Path) -> None:
    for name in ("all/1.png", "all/2.png", "all/kept/3.png", "all/kept/4.png", "all/train/5.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6)).save(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path / "all")

    def opened(path: str, held_out: str, **more: object) -> Source:
        keys = {"source": "imagefolder", "resolution": 8, "tree": "flat", "held_out": 1}
        dataset = {"path": str(tmp_path / path), "held_out_path": str(tmp_path / held_out), **keys, **more}
        return open_source(SOURCES["imagefolder"].model_validate(dataset).model_dump(mode="json"))

    for path, held_out, count in (("all", "all/kept", 2), ("all/kept", "all", 2), ("all", "link", 5)):
        with pytest.raises(
            InputError, match=f"held_out_path: {count} files of .* are in .*, too, and would be trained on"
        ):
            opened(path, held_out)
    apart = opened("all", "all/kept", splits=["train"])
    assert (apart.count, apart.held_out) == (3, 1)
