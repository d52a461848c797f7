"""Packing: geometry, colour, order, duplicates, bad images, and a file that is whole or not there."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import write_json, write_npy, write_parquet
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.data.packing import Shape, fit_image, pack
from workflow_scripts.data.sources import Source, array_set, image_folder

GREY = Shape(8, 1, "crop")


def saved(image: Image.Image, **options: object) -> Image.Image:
    """The image as it is read back from a file."""
    buffer = io.BytesIO()
    image.save(buffer, **{"format": "PNG", **options})
    return Image.open(io.BytesIO(buffer.getvalue()))


def test_crop_takes_the_centre_and_pad_adds_borders() -> None:
    wide = np.zeros((4, 12), np.uint8)
    wide[:, 4:8] = 200
    image = Image.fromarray(wide)
    assert (fit_image(image, Shape(8, 1, "crop")) == 200).all()
    padded = fit_image(image, Shape(12, 3, "pad"))
    assert padded.shape == (12, 12, 3)
    assert (padded[:4] == 0).all()
    assert (padded[8:] == 0).all()
    assert (padded[4:8, 4:8] == 200).all()


def test_scaling_down_is_anti_aliased() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    small = fit_image(Image.fromarray(stripes), GREY)[:, 1:-1]
    assert np.abs(small.astype(int) - 127).max() <= 3


def test_a_jpeg_decoded_at_a_fraction_of_its_size_shows_what_the_whole_one_does() -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((256, 192), Image.Resampling.BICUBIC)
    jpeg = saved(picture, format="JPEG", quality=95)
    whole = Image.fromarray(np.asarray(jpeg.copy()))  # no longer a file: it cannot be decoded smaller
    shape = Shape(32, 3, "crop")
    difference = fit_image(saved(picture, format="JPEG", quality=95), shape).astype(int) - fit_image(whole, shape)
    assert 0 < np.abs(difference).max() <= 8
    assert np.abs(difference).mean() < 1


def test_exif_orientation_palette_transparency_cmyk_and_16_bit() -> None:
    picture = Image.fromarray(np.repeat(np.repeat(np.array([[255, 0], [0, 0]], np.uint8), 4, 0), 4, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    turned = fit_image(saved(picture, exif=exif.tobytes()), GREY)
    np.testing.assert_array_equal(turned[..., 0], np.rot90(np.asarray(picture), -1))
    palette = saved(picture.convert("RGB").convert("P"))
    np.testing.assert_array_equal(fit_image(palette, GREY)[..., 0], np.asarray(picture))
    clear = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    assert not fit_image(saved(clear), GREY).any()
    cmyk = saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), format="JPEG")
    assert (fit_image(cmyk, Shape(8, 3, "crop")) > 250).all()
    deep = saved(Image.fromarray(np.full((8, 8), 40_000, np.uint16)))
    assert (fit_image(deep, GREY) == 40_000 >> 8).all()


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 70), height=st.integers(1, 70), fit=st.sampled_from(["crop", "pad"]),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    channels=st.sampled_from([1, 3]), resolution=st.integers(1, 20),
)  # fmt: skip
def test_any_image_becomes_a_square(width, height, mode, fit, channels, resolution) -> None:
    made = fit_image(saved(Image.new(mode, (width, height))), Shape(resolution, channels, fit))
    assert made.shape == (resolution, resolution, channels)
    assert made.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 200), flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=4))
def test_damaged_files_are_images_or_are_named(tmp_path_factory, cut: int, flips: list[tuple[int, int]]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    for place, change in flips:
        content[place % len(content)] ^= change
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "good.png").write_bytes(buffer.getvalue())
    (folder / "torn.png").write_bytes(content[: len(content) - cut])
    packed = pack(image_folder(folder), Shape(8, 3, "crop"), folder / "images.npy", "skip")
    assert len(packed.labels) + len(packed.skipped) == 2
    assert [one["file"] for one in packed.skipped] in ([], ["torn.png"])


def make_folder(folder: Path, count: int = 30) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(np.full((10, 10), 8 * i, np.uint8)).save(folder / f"{i:03d}.png")
    return folder


def test_order_and_bytes_do_not_depend_on_threads(tmp_path: Path) -> None:
    source = image_folder(make_folder(tmp_path / "a"))
    one = pack(source, GREY, tmp_path / "one.npy", threads=1)
    pack(source, GREY, tmp_path / "four.npy", threads=4)
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "four.npy").read_bytes()
    images = np.load(tmp_path / "one.npy")
    np.testing.assert_array_equal(images[:, 0, 0, 0], 8 * np.arange(30))
    assert one.origins[7] == "007.png"


def test_a_bad_image_stops_or_is_skipped_and_nothing_half_written_stays(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a")
    whole = (folder / "003.png").read_bytes()
    (folder / "003.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"003\.png in a: not a readable image.*on_bad_image: skip"):
        pack(image_folder(folder), GREY, tmp_path / "out/images.npy")
    assert list((tmp_path / "out").iterdir()) == []
    packed = pack(image_folder(folder), GREY, tmp_path / "out/images.npy", "skip")
    assert [one["file"] for one in packed.skipped] == ["003.png"]
    assert np.load(tmp_path / "out/images.npy").shape == (29, 8, 8, 1)
    assert packed.origins[3] == "004.png"
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of its 30 images can be read"):
        pack(image_folder(folder), GREY, tmp_path / "none.npy", "skip")


def test_an_image_with_a_huge_header_is_not_decoded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than the limit"):
        fit_image(Image.new("1", (20_000, 20_000)), GREY)


def test_colour_among_grey_is_refused_unless_grey_is_wanted(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", 3)
    Image.new("RGB", (5, 5)).save(folder / "colour.png")
    with pytest.raises(InputError, match=r"mixed channels, 000\.png is grey and colour\.png is in colour"):
        pack(image_folder(folder), Shape(8, 3, "crop"), tmp_path / "images.npy")
    assert len(pack(image_folder(folder), GREY, tmp_path / "images.npy").labels) == 4


def test_exact_duplicates_are_found(tmp_path: Path) -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    packed = pack(array_set("a", images[[0, 1, 2, 1, 3, 0, 1]], None), GREY, tmp_path / "images.npy")
    assert packed.duplicates == [[0, 5], [1, 3, 6]]


def test_arrays_of_the_right_size_are_copied_and_others_scaled(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 8, 8), dtype=np.uint8)
    pack(array_set("a", images, None), GREY, tmp_path / "same.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "same.npy")[..., 0], images)
    pack(array_set("a", np.full((3, 16, 16), 9, np.uint8), None), GREY, tmp_path / "scaled.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "scaled.npy"), np.full((3, 8, 8, 1), 9))


def test_memory_is_bounded_by_blocks(tmp_path: Path) -> None:
    """The source is asked for one block at a time, and the image is written before the next is read."""
    written: list[int] = []

    def block(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        written.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
        return np.zeros((stop - start, 8, 8, 1), np.uint8), np.zeros(stop - start, int)

    source = Source("many", 20_000, ["a"], lambda i: (Image.new("L", (8, 8)), 0), str, block=block)
    pack(source, GREY, tmp_path / "images.npy")
    assert len(written) == -(-20_000 // 512)
    assert np.load(tmp_path / "images.npy", mmap_mode="r").shape == (20_000, 8, 8, 1)


def test_an_image_set_whose_files_do_not_fit_is_refused(tmp_path: Path) -> None:
    packed = pack(array_set("a", np.zeros((4, 8, 8), np.uint8), None), GREY, tmp_path / "images.npy")
    files = tmp_path / "images.npy", tmp_path / "labels.parquet", tmp_path / "manifest.json"
    write_parquet(files[1], packed.table())
    write_json(files[2], {"count": 4, "resolution": 8, "channels": 1, "classes": []})
    assert open_image_set(*files).images.shape == (4, 8, 8, 1)
    write_parquet(files[1], packed.table()[:3])
    with pytest.raises(InputError, match=r"labels\.parquet: holds 3 labels for 4 images"):
        open_image_set(*files)
    write_npy(files[0], np.zeros((4, 9, 9, 1), np.uint8))
    with pytest.raises(InputError, match=r"images\.npy: holds uint8 of shape \(4, 9, 9, 1\)"):
        open_image_set(*files)
    files[0].write_bytes(files[0].read_bytes()[:-5])
    with pytest.raises(InputError, match=r"images\.npy: not a readable NumPy file"):
        open_image_set(*files)
