"""Image files: which ones are read, and how one is opened whose metadata is damaged while its pixels are fine."""

import io
import os
import struct
from collections.abc import Callable
from typing import Any

from PIL import Image, PngImagePlugin

# Not images, or read by running another program.
_NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}

Image.init()
FORMATS = tuple(kind for kind in Image.OPEN if kind not in _NOT_READ)
# MPO, the JPEG with further pictures of stereo cameras and phones, is opened as JPEG.
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO"))
# Editors and generators write descriptions beyond Pillow's limit of 1 MiB for one; that for all of a file stays.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

# How files begin that are images although their names have no suffix.
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"RIFF", b"BM")
# What people have that Pillow does not read, and the way to what it does.
_ADVICE = {
    ".dcm": "convert DICOM to PNG of 16 bits, and set `range`",
    ".h5": "save its arrays with numpy.savez", ".hdf5": "save its arrays with numpy.savez",
    ".mat": "save its arrays with numpy.savez", ".pt": "save its arrays with numpy.savez",
    ".pkl": "save its arrays with numpy.savez", ".pickle": "save its arrays with numpy.savez",
    ".pth": "save its arrays with numpy.savez", ".tfrecord": "save its images as PNG",
    ".arrow": "save it as Parquet: Dataset.to_parquet", ".mdb": "save its images as PNG, or in a zip file",
    ".csv": "save the pixels in it as an array (N, H, W): numpy.save",
    ".heic": "convert them to JPEG or PNG", ".heif": "convert them to JPEG or PNG",
    ".cr2": "convert raw photographs to JPEG or TIFF", ".nef": "convert raw photographs to JPEG or TIFF",
    ".dng": "convert raw photographs to JPEG or TIFF", ".arw": "convert raw photographs to JPEG or TIFF",
    ".svg": "draw them as PNG", ".pdf": "save its pictures as PNG",
    ".mp4": "save its frames as PNG", ".avi": "save its frames as PNG", ".mov": "save its frames as PNG",
    ".npy": "stack them into one array (N, H, W, C): numpy.save",
    ".gz": "unpack it, and give the folder", ".tgz": "unpack it, and give the folder",
    ".bz2": "unpack it, and give the folder", ".xz": "unpack it, and give the folder",
    ".7z": "unpack it, and give the folder", ".rar": "unpack it, and give the folder",
    ".zip": "unpack it, and give the folder",
}  # fmt: skip

# Data sets in files of their own, by how the names of these begin.
_KNOWN = {
    (
        "data_batch_",
        "test_batch",
        "batches.meta",
    ): "CIFAR-10's own files: `source: torchvision`, `name: CIFAR10`, `root` the folder above",
    ("train-images-idx", "train-labels-idx", "t10k-images-idx", "t10k-labels-idx"): "MNIST's own files: `source: idx`, "
    "`images` and `labels` these files",
}

_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def open_image(opener: Callable[[], Any]) -> Image.Image:
    """Open an image from a binary file or path that `opener` gives; its pixels are not decoded yet.

    Where Pillow refuses a PNG or JPEG, it is tried again without its metadata. Raises what Pillow raises.
    """
    try:
        return Image.open(opener(), formats=FORMATS)
    except Exception:
        bare = without_metadata(_content(opener()))
        if bare is None:
            raise
        return Image.open(io.BytesIO(bare), formats=FORMATS)


def begins_like_an_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file without a suffix is an image, by its first bytes."""
    try:
        with open(path, "rb") as handle:
            return handle.read(8).startswith(_BEGINNINGS)
    except OSError:
        return False


def advice_for(name: str) -> str:
    """The way from a file that is not read to what is; empty if none is known."""
    file = os.path.basename(name)
    known = (way for beginnings, way in _KNOWN.items() if file.startswith(beginnings))
    return next(known, _ADVICE.get(os.path.splitext(file)[1].lower(), ""))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or where the metadata cannot be read."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # of damaged EXIF data, Pillow raises whatever its parser trips over
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def without_metadata(content: bytes) -> bytes | None:
    """A PNG or JPEG file with only the parts that make its pixels; None for other files, and for broken ones."""
    try:
        if content.startswith(_PNG_SIGNATURE):
            return _bare_png(content)
        if content.startswith(b"\xff\xd8"):
            return _bare_jpeg(content)
    except (struct.error, IndexError):
        pass
    return None


def _content(file: Any) -> bytes:
    if hasattr(file, "read"):
        return file.read()
    with open(file, "rb") as handle:
        return handle.read()


def _bare_png(content: bytes) -> bytes:
    parts, place = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        end = place + 12 + length
        if kind in _PNG_PIXELS:
            parts.append(content[place:end])
        place = end
    return b"".join(parts)


def _bare_jpeg(content: bytes) -> bytes:
    """Without the application segments and comments, but for Adobe's, which says how colours are coded."""
    parts, place = [b"\xff\xd8"], 2
    while content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # fill bytes
            place += 1
            continue
        if marker == 0xDA:  # the scan: all that follows is pixels
            break
        end = place + 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE:
            parts.append(content[place:end])
        place = end
    return b"".join([*parts, content[place:]])
