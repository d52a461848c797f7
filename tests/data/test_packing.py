"""Packing: geometry, colour, order, duplicates, bad images, and a file that is whole or not there."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import write_json, write_npy, write_parquet
from workflow_scripts.data.arrays import array_set
from workflow_scripts.data.decoding import Shape, fit_image
from workflow_scripts.data.folders import image_folder
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.data.packing import BadImages, pack, problems_text, warnings_beside, warnings_of
from workflow_scripts.data.source import Source
from workflow_scripts.data.survey import background_of, contrasts_of, range_of

GREY = Shape(8, 1, "crop")


def encoded(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **{"format": "PNG", **options})
    return buffer.getvalue()


def saved(image: Image.Image, **options: object) -> Image.Image:
    """The image as it is read back from a file."""
    return Image.open(io.BytesIO(encoded(image, **options)))


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


def test_further_frames_and_pages_are_told(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (i, 0, 255 - i)) for i in range(0, 250, 60)]
    for name in ("a.gif", "b.tif", "c.webp", "d.png"):
        frames[0].save(tmp_path / name, save_all=name != "d.png", append_images=frames[1:])
    frames[0].save(tmp_path / "e.mpo", save_all=True, append_images=frames[1:2])  # a phone's depth, or a preview
    source = image_folder(tmp_path)
    packed = pack(source, Shape(8, 3, "crop"), tmp_path / "images.npy")
    assert np.abs(np.load(tmp_path / "images.npy").astype(int) - [0, 0, 255]).max() <= 5  # the first ones
    assert packed.frames == ["a.gif", "b.tif", "c.webp"]
    told = next(sentence for sentence in warnings_of(packed, Shape(8, 3, "crop")) if "frame" in sentence)
    assert told.startswith("of 3 images only the first frame or page is read, such as a.gif")
    assert "first: 3\n  a.gif\n" in problems_text(source, [], packed)


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


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\x08\0\0\0"
        + struct.pack("<HHHIIHHIHHI", 2, 0x103, 5, 1, 38, 0x112, 3, 1, 6, 0, 0)
        + struct.pack("<II", 6, 1),
        b"Exif\0\0" + np.random.default_rng(0).bytes(200),
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHII", 0x11A, 5, 1, 500, 0x112, 3, 1, 6),  # offset
        b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHII", 0x10F, 99, 1, 8, 0x112, 4, 1, 6),  # type
    ],
)
def test_metadata_that_cannot_be_read_does_not_matter(exif: bytes) -> None:
    """Of EXIF data, the orientation is read, and nothing is rewritten."""
    picture = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    turned = exif[14:16] == b"\x02\x00"
    made = fit_image(saved(picture, format="JPEG", quality=100, exif=exif), GREY)[..., 0].astype(int)
    assert np.abs(made - np.rot90(np.asarray(picture), -1 if turned else 0)).max() <= 4


def test_chunks_and_segments_that_pillow_refuses_are_left_out(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    png = encoded(picture)
    text = struct.pack(">I", 4) + b"tEXt" + b"a\0bc" + b"\0\0\0\0"  # its checksum is wrong
    (tmp_path / "a.png").write_bytes(png[:33] + text + png[33:])
    jpeg = encoded(picture, format="JPEG")
    (tmp_path / "b.jpg").write_bytes(jpeg[:2] + b"\xff\xe2\x00\x0cMPF\0II*\0zz" + jpeg[2:])
    packed = pack(image_folder(tmp_path), GREY, tmp_path / "out/images.npy")
    assert packed.origins == ["a.png", "b.jpg"]


def test_transparent_images_are_laid_on_what_shows_them(tmp_path: Path) -> None:
    """Black drawings in the alpha channel are seen on white, white ones on black, and both on grey."""
    for folder, lights in {"dark": (0,), "bright": (255,), "both": (0, 255)}.items():
        for light in lights:
            pixels = np.zeros((8, 8, 4), np.uint8)
            pixels[..., :3], pixels[2:6, 2:6, 3] = light, 255
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{light}.png")
    chosen = {name: background_of(image_folder(tmp_path / name), "auto") for name in ("dark", "bright", "both")}
    assert chosen == {"dark": "white", "bright": "black", "both": "grey"}
    on_black = pack(image_folder(tmp_path / "dark"), GREY, tmp_path / "out/images.npy")
    assert any("1 of 1 images are one colour, such as 0.png" in said for said in warnings_of(on_black, GREY))
    white = Shape(8, 1, "crop", 255)
    assert pack(image_folder(tmp_path / "dark"), white, tmp_path / "out/images.npy").one_colour == []
    assert np.load(tmp_path / "out/images.npy")[0, [0, 4], [0, 4], 0].tolist() == [255, 0]


def test_samples_are_told_that_are_transparent_or_smaller_where_training_images_are_not(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    Image.fromarray(pixels[..., :3]).save(tmp_path / "opaque.png")
    opaque = pack(image_folder(tmp_path), GREY, tmp_path / "out/images.npy")
    assert warnings_beside({"transparent": False}, opaque, GREY, "black", False) == []
    pixels[:2, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    seen_through = bool(contrasts_of(image_folder(tmp_path)))
    [said] = warnings_beside({"transparent": False}, opaque, GREY, "black", seen_through)
    assert "which show on black; the training images have none" in said
    assert warnings_beside({"transparent": True}, opaque, GREY, "black", seen_through) == []
    larger = Shape(9, 1, "crop")
    enlarged = pack(image_folder(tmp_path), larger, tmp_path / "out/images.npy")
    [said] = warnings_beside({"transparent": True}, enlarged, larger, "black", seen_through)
    assert said.startswith("1 of 1 samples have fewer than 9 px a side")


def test_a_part_of_the_range_is_noticed_and_can_be_scaled(tmp_path: Path) -> None:
    """12 bits in 16, 0/1 masks, and floats of any kind."""
    ramp = np.linspace(0, 4095, 64).reshape(8, 8)
    kinds = {
        "x-ray": (Image.fromarray(ramp.astype(np.uint16)), "png", [0, 4095]),
        "mask": (Image.fromarray((ramp > 2000).astype(np.uint8)), "png", [0, 1]),
        "floats": (Image.fromarray(ramp.astype(np.float32)), "tif", [0, 4095]),
    }
    for name, (image, suffix, limits) in kinds.items():
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / f"a.{suffix}")
        source = image_folder(tmp_path / name)
        if name != "floats":
            packed = pack(source, GREY, tmp_path / "images.npy")
            assert any("contrast is low" in said for said in warnings_of(packed, GREY))
        else:
            with pytest.raises(BadImages, match=r"floats from 0 to 4095, expected 0 to 1; set `range"):
                pack(source, GREY, tmp_path / "images.npy")
        expected = np.rint(ramp / 4095 * 255) if name != "mask" else (ramp > 2000) * 255
        for wanted in ("set", limits):
            shape = Shape(8, 1, "crop", range=range_of(source, wanted))
            packed = pack(source, shape, tmp_path / "images.npy")
            assert not any("contrast" in said for said in warnings_of(packed, shape))
            assert np.abs(np.load(tmp_path / "images.npy")[0, ..., 0] - expected).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_12_bits_of_colours_are_scaled_too(tmp_path: Path, channels: int) -> None:
    """Pillow reads the high bytes of 16-bit colours only, of which 12 bits leave 16 levels."""
    values = np.linspace(0, 4095, 64 * channels).reshape(8, 8, channels)
    if channels == 4:
        values[..., 3] = 65_535
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 8, 8, 16, 2 if channels == 3 else 6, 0, 0, 0),
        b"IDAT": zlib.compress(lines),
    }
    content = b"\x89PNG\r\n\x1a\n"
    for kind, part in (parts | {b"IEND": b""}).items():
        content += struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
    (tmp_path / "a.png").write_bytes(content)
    source, expected = image_folder(tmp_path), np.rint(values[..., :3] / 4095 * 255)
    assert range_of(source, "set") == (0, pytest.approx(4095, abs=30))
    made = fit_image(source.read(0)[0], Shape(8, 3, "crop", range=(0, 4095)))
    assert np.abs(made - expected).max() <= 1
    assert fit_image(source.read(0)[0], Shape(8, 3, "crop")).max() == 4095 >> 8


def test_bytes_among_wider_values_are_told(tmp_path: Path) -> None:
    for name, kind in (("a", np.uint8), ("b", np.uint16), ("c", np.uint8)):
        Image.fromarray((np.arange(64).reshape(8, 8) * 4).astype(kind)).save(tmp_path / f"{name}.png")
    packed = pack(image_folder(tmp_path), GREY, tmp_path / "out/images.npy")
    assert any(
        "1 of 3 images hold values wider than bytes, such as b.png" in said for said in warnings_of(packed, GREY)
    )


def test_the_range_of_a_set_is_that_of_its_colours(tmp_path: Path) -> None:
    """CMYK counts ink, not light."""
    Image.new("RGB", (8, 8), (200, 100, 50)).convert("CMYK").save(tmp_path / "a.tif")
    assert range_of(image_folder(tmp_path), "set") == (50, 200)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"", "empty"),
    ],
)
def test_what_lies_there_instead_of_an_image_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadImages, match=f"a.png in .*{words}"):
        pack(image_folder(tmp_path), GREY, tmp_path / "out/images.npy")


def test_a_very_long_image_keeps_a_pixel_and_is_named(tmp_path: Path) -> None:
    Image.new("L", (6000, 40), 200).save(tmp_path / "long.png")
    shape = Shape(32, 1, "pad")
    packed = pack(image_folder(tmp_path), shape, tmp_path / "out/images.npy")
    assert np.load(tmp_path / "out/images.npy").max(axis=(0, 2, 3)).tolist() == [0] * 16 + [200] + [0] * 15
    assert any("shorter side is 1 px, such as long.png" in said for said in warnings_of(packed, shape))


@settings(max_examples=60)
@given(
    width=st.integers(1, 70), height=st.integers(1, 70), fit=st.sampled_from(["crop", "pad"]),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    channels=st.sampled_from([1, 3]), resolution=st.integers(1, 20),
)  # fmt: skip
def test_any_image_becomes_a_square(width, height, mode, fit, channels, resolution) -> None:
    made = fit_image(saved(Image.new(mode, (width, height))), Shape(resolution, channels, fit))
    assert made.shape == (resolution, resolution, channels)
    assert made.dtype == np.uint8


@settings(max_examples=60)
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
    assert [bad["file"] for bad in packed.skipped] in ([], ["torn.png"])


def make_folder(folder: Path, count: int = 30) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(np.full((10, 10), 8 * i, np.uint8)).save(folder / f"{i:03d}.png")
    return folder


def test_order_and_bytes_do_not_depend_on_threads(tmp_path: Path) -> None:
    source = image_folder(make_folder(tmp_path / "a"))
    packed = pack(source, GREY, tmp_path / "one.npy", threads=1)
    pack(source, GREY, tmp_path / "four.npy", threads=4)
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "four.npy").read_bytes()
    images = np.load(tmp_path / "one.npy")
    np.testing.assert_array_equal(images[:, 0, 0, 0], 8 * np.arange(30))
    assert packed.origins[7] == "007.png"


def test_a_bad_image_stops_or_is_skipped_and_nothing_half_written_stays(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a")
    whole = (folder / "003.png").read_bytes()
    (folder / "003.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"003\.png in a: not a readable image.*on_bad_image: skip"):
        pack(image_folder(folder), GREY, tmp_path / "out/images.npy")
    assert list((tmp_path / "out").iterdir()) == []
    packed = pack(image_folder(folder), GREY, tmp_path / "out/images.npy", "skip")
    assert [bad["file"] for bad in packed.skipped] == ["003.png"]
    assert np.load(tmp_path / "out/images.npy").shape == (29, 8, 8, 1)
    assert packed.origins[3] == "004.png"
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of its 30 images can be read"):
        pack(image_folder(folder), GREY, tmp_path / "none.npy", "skip")


def test_an_image_with_a_huge_header_is_not_decoded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than the limit"):
        fit_image(Image.new("1", (20_000, 20_000)), GREY)


def test_all_bad_images_are_named_at_once(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a")
    for path in sorted(folder.iterdir())[:25]:
        path.write_bytes(b"torn")
    with pytest.raises(
        BadImages, match=r"000\.png in a: not a readable.*24 more are not: 001\.png, .*019\.png, and 5"
    ) as bad:
        pack(image_folder(folder), GREY, tmp_path / "images.npy")
    lines = problems_text(image_folder(folder), bad.value.skipped).splitlines()
    assert (lines[0], len(lines), lines[25][:10]) == ("unreadable images: 25", 26, "  024.png:")


def test_grey_among_colour_becomes_rgb_and_is_counted(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", 3)
    Image.new("RGB", (5, 5), (9, 8, 7)).save(folder / "colour.png")
    shape = Shape(8, 3, "crop")
    packed = pack(image_folder(folder), shape, tmp_path / "images.npy")
    assert any("3 of 4 images are grey, and were turned into RGB" in said for said in warnings_of(packed, shape))
    assert np.load(tmp_path / "images.npy")[[2, 3], 0, 0].tolist() == [[16] * 3, [9, 8, 7]]


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
    table = pd.DataFrame({"label": packed.labels})
    write_parquet(files[1], table)
    write_json(files[2], {"count": 4, "resolution": 8, "channels": 1, "classes": []})
    assert open_image_set(*files).images.shape == (4, 8, 8, 1)
    write_parquet(files[1], table[:3])
    with pytest.raises(InputError, match=r"labels\.parquet: holds 3 labels for 4 images"):
        open_image_set(*files)
    write_npy(files[0], np.zeros((4, 9, 9, 1), np.uint8))
    with pytest.raises(InputError, match=r"images\.npy: holds uint8 of shape \(4, 9, 9, 1\)"):
        open_image_set(*files)
    files[0].write_bytes(files[0].read_bytes()[:-5])
    with pytest.raises(InputError, match=r"images\.npy: not a readable NumPy file"):
        open_image_set(*files)
