"""Hostile and broken data: every reader gives the data or one InputError, and nothing outside its folder is touched."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.decoding import LARGEST, Shape
from workflow_scripts.data.folders import image_folder
from workflow_scripts.data.packing import pack
from workflow_scripts.data.source import printable
from workflow_scripts.data.sources import open_source
from workflow_scripts.training.weights import read_weights

COLOUR, GREY = Shape(8, 3, "crop"), Shape(8, 1, "crop")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that nothing in it bears out."""
    content = bytearray(encoded(Image.new("RGB", (4, 4))))
    content[16:24] = struct.pack(">II", width, height)
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    return bytes(content)


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (9, 7), (i * 60, 0, 0)) for i in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 11, 3), dtype=np.uint8))
EXIF = Image.Exif()
EXIF[0x0112] = 8
GOOD: dict[str, Callable[[], tuple[str, bytes]]] = {
    "one pixel": lambda: ("png", encoded(Image.new("RGB", (1, 1)))),
    "one row": lambda: ("png", encoded(Image.new("RGB", (301, 1)))),
    "jpeg": lambda: ("jpg", encoded(PICTURE, "JPEG")),
    "cmyk": lambda: ("jpeg", encoded(PICTURE.convert("CMYK"), "JPEG")),
    "turned": lambda: ("jpg", encoded(PICTURE, "JPEG", exif=EXIF.tobytes())),
    "webp": lambda: ("webp", encoded(PICTURE, "WEBP")),
    "palette": lambda: ("png", encoded(PICTURE.convert("P"))),
    "palette with alpha": lambda: ("png", encoded(PICTURE.quantize(8), transparency=3)),
    "alpha": lambda: ("png", encoded(PICTURE.convert("RGBA"))),
    "animated png": lambda: ("png", animated("PNG")),
    "animated webp": lambda: ("webp", animated("WEBP")),
    "a jpeg named png": lambda: ("png", encoded(PICTURE, "JPEG")),
}
BAD: dict[str, Callable[[], tuple[str, bytes]]] = {
    "nothing": lambda: ("png", b""),
    "text": lambda: ("jpg", b"not an image at all"),
    "half": lambda: ("png", encoded(PICTURE)[:200]),
    "half a jpeg": lambda: ("jpg", encoded(PICTURE, "JPEG")[:300]),
    "header alone": lambda: ("png", encoded(PICTURE)[:33]),
    "huge": lambda: ("png", png_of_size(60_000, 60_000)),
    "beyond the limit": lambda: ("png", png_of_size(LARGEST // 8 + 1, 8)),
    "size that is not there": lambda: ("png", png_of_size(500, 500)),
    "no size": lambda: ("png", png_of_size(0, 5)),
    "a program": lambda: ("png", b"\x7fELF" + bytes(100)),
    "an archive": lambda: ("jpg", b"PK\x03\x04" + bytes(100)),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_of_image_is_packed(kind: str, tmp_path: Path) -> None:
    suffix, content = GOOD[kind]()
    (tmp_path / f"image.{suffix}").write_bytes(content)
    for shape in (COLOUR, GREY):
        assert len(pack(image_folder(tmp_path), shape, tmp_path / "out/images.npy").labels) == 1
        assert np.load(tmp_path / "out/images.npy").shape == (1, 8, 8, shape.channels)


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(animated("PNG"))
    pack(image_folder(tmp_path), COLOUR, tmp_path / "out/images.npy")
    assert not np.load(tmp_path / "out/images.npy").any()


@settings(max_examples=40)
@given(
    kinds=st.lists(st.sampled_from([*GOOD, *BAD]), min_size=1, max_size=12), random=st.randoms(use_true_random=False)
)
def test_in_any_folder_the_bad_images_are_named_and_the_good_ones_kept(tmp_path_factory, kinds, random) -> None:
    folder = tmp_path_factory.mktemp("images")
    names = []
    for i, kind in enumerate(kinds):
        suffix, content = (GOOD | BAD)[kind]()
        odd = random.choice(["", " ", "ü", "$(touch x)", "'", "\n", "-rf", ";", "%s", "{a}", "..", "\\"])
        names.append(f"{i:02d}{odd}.{suffix}")
        (folder / names[-1]).write_bytes(content)
    told = list(map(printable, names))  # on one line
    bad = [name for name, kind in zip(told, kinds, strict=True) if kind in BAD]
    target = folder / "out/images.npy"
    if bad:
        with pytest.raises(InputError, match="not a readable image") as caught:
            pack(image_folder(folder), GREY, target)
        assert str(caught.value).startswith(bad[0])
        assert not target.exists()
    if len(bad) == len(names):
        with pytest.raises(InputError, match="can be read"):
            pack(image_folder(folder), GREY, target, "skip")
        return
    packed = pack(image_folder(folder), GREY, target, "skip")
    assert [skipped["file"] for skipped in packed.skipped] == bad
    assert packed.origins == [name for name in told if name not in bad]
    assert len(np.load(target)) == len(names) - len(bad)
    assert {path.name for path in folder.iterdir()} == {*names, "out"}


def idx(content: np.ndarray) -> bytes:
    return (
        struct.pack(">HBB", 0, 8, content.ndim) + struct.pack(f">{content.ndim}I", *content.shape) + content.tobytes()
    )


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


IMAGES = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
STATE = {"weight": torch.arange(12.0).reshape(3, 4)}
WHOLE: dict[str, bytes] = {
    "a.idx": idx(IMAGES),
    "a.idx.gz": gzip.compress(idx(IMAGES)),
    "a.npy": saved(lambda buffer: np.save(buffer, IMAGES)),
    "a.npz": saved(lambda buffer: np.savez(buffer, images=IMAGES)),
    "a.pth": saved(lambda buffer: torch.save(STATE, buffer)),
}


def read(path: Path) -> object:
    if path.name in ("a.pth", "a.safetensors"):
        return read_weights(path)
    kind = {"a.npy": "npy", "a.npz": "npz"}.get(path.name, "idx")
    key = "path" if kind == "npz" else "images"
    dataset = {"source": kind, key: str(path), "labels": None, "images_key": "images", "labels_key": None}
    return open_source(dataset)


@pytest.mark.parametrize("name", [*WHOLE, "a.safetensors"])
@settings(max_examples=150)
@given(
    cut=st.one_of(st.none(), st.integers(0, 3000)),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=8)), max_size=4),
    junk=st.one_of(st.none(), st.binary(max_size=300)),
)
def test_readers_give_the_data_or_name_the_file(tmp_path_factory, name, cut, changes, junk) -> None:
    path = tmp_path_factory.mktemp("fuzz") / name
    if name == "a.safetensors":
        save_file(STATE, path)
    content = bytearray(junk if junk is not None else path.read_bytes() if path.exists() else WHOLE[name])
    for place, part in changes:
        at = place % (len(content) + 1)
        content[at : at + len(part)] = part
    path.write_bytes(bytes(content[:cut]))
    try:
        read(path)
    except InputError as error:
        if name not in str(error):
            raise


def test_names_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    """An .npz is read in memory: a member named like a path outside is at most an array by that name."""
    inside = tmp_path / "in/side"
    inside.mkdir(parents=True)
    with zipfile.ZipFile(inside / "a.npz", "w") as archive:
        for name in ("../../evil.npy", "/tmp/evil.npy", "images.npy"):
            archive.writestr(name, WHOLE["a.npy"])
    assert read(inside / "a.npz").count == 3
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.npz"]


def test_an_array_of_objects_is_refused_unread(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    np.savez(tmp_path / "a.npz", images=np.array([Evil()], dtype=object))
    np.save(tmp_path / "a.npy", np.array([Evil()], dtype=object))
    torch.save({"weight": Evil()}, tmp_path / "a.pth")
    for name in ("a.npz", "a.npy", "a.pth"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read(tmp_path / name)
    assert not (tmp_path / "ran").exists()
