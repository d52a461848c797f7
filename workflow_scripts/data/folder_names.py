"""What the names of folders say: whether they are classes, splits, parts, cases, or hold what was drawn on images."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

# train, val2017, test_set, training-images, imagesTr, fold_1, ..
SPLIT = re.compile(
    r"(?:train|training|val|valid|validation|validate|dev|test|testing|eval)(?:[ _-]?(?:set|images|imgs|data))?"
    r"(?:[ _-]?[0-9]+)?|images[ _-]?(?:tr|ts|train|test|val)|fold[ _-]?[0-9]+",
    re.IGNORECASE,
)
# Folders that stand side by side and hold images and what was drawn on them, which are no classes either.
PICTURES = {"image", "images", "img", "imgs", "jpegimages", "photo", "photos", "picture", "pictures"}
DRAWN = {
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "ground_truth",
    "groundtruth", "gt", "segmentationclass", "segmentationobject",
}  # fmt: skip
_CLASS = re.compile(r"n[0-9]{8}$|(class|cls|label|categor|cat|type|kind|genre|species|grade)", re.I)  # ImageNet's, ..
FEWEST_CASES, MOST_OF_A_CASE = 10, 64  # numbered folders, and their images, that look like patients or scenes


def splits_in(paths: Iterable[str]) -> tuple[int, list[str]]:
    """The first depth at which folders are train, val, test, .., from 0 at the top, and their names; else (0, []).

    They are splits if all folders at that depth are, or at least two of them.
    """
    parts = [path.split("/")[:-1] for path in paths]
    for depth in range(max(map(len, parts), default=0)):
        names = {folders[depth] for folders in parts if len(folders) > depth}
        matching = sorted(filter(SPLIT.fullmatch, names))
        if matching and (len(matching) >= 2 or names == set(matching)):
            return depth, sorted(names) if depth == 0 else matching
    return 0, []


def drawn_beside(names: Iterable[str]) -> list[str]:
    """The folders of masks and labels, where all folders are those of images and of such; else none."""
    kinds = {name: name.lower() for name in names}
    drawn = sorted(name for name, kind in kinds.items() if kind in DRAWN)
    return drawn if drawn and 0 < sum(kind in PICTURES for kind in kinds.values()) == len(kinds) - len(drawn) else []


def are_buckets(names: Sequence[str]) -> bool:
    """Whether folders look like parts of one set, not classes: 00000, 01000, .. or 00, 01, .. ff."""
    widths = {len(name) for name in names}
    if len(widths) > 1 or len(names) < 2:
        return False
    if min(widths) >= 4:
        return all(name.isdecimal() for name in names)
    return len(names) >= 100 and all(set(name.lower()) <= set("0123456789abcdef") for name in names)


def are_cases(folders: Sequence[tuple[str, ...]]) -> bool:
    """Whether the folders of images look like cases (patients, scenes): numbered, and with few images each."""
    counts = Counter(folders)
    names = [parts[-1] if parts else "" for parts in counts]
    numbered = sum(len(name) > 1 and name[-1].isdecimal() and not _CLASS.match(name) for name in names)  # 0-9: classes
    usual = sorted(counts.values())[len(counts) // 2] if counts else 0
    return len(counts) >= FEWEST_CASES and numbered == len(counts) and usual <= MOST_OF_A_CASE


def without_wrappers(folders: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The folders of each image without those that hold all the others, such as an archive's own."""
    while len({parts[:1] for parts in folders}) == 1 and min(map(len, folders)) > 1:
        folders = [parts[1:] for parts in folders]
    return folders
