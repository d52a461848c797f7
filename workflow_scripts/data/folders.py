"""Folders of images: which of their files belong to the set, and the class of each."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.folder_contents import DANGLING, Listing, list_images, suffix_of
from workflow_scripts.data.folder_names import are_buckets, drawn_beside, splits_in, without_wrappers
from workflow_scripts.data.formats import PICTURES_NOT_READ, advice_for, open_image
from workflow_scripts.data.source import Source, printable, require

# Beside images these are annotations and notes; a folder of nothing else is no class.
DOCUMENTS = {
    "", ".csv", ".doc", ".docx", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md", ".parquet", ".pdf",
    ".pkl", ".py", ".rst", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
}  # fmt: skip
USUAL = ".png, .jpg, .tif, .webp or another suffix that Pillow reads"
LABELS_FILE = "dataset.json"  # StyleGAN's: {"labels": [[name, class], ...]}


@dataclass(frozen=True)
class Arrangement:
    """Which paths make up the set, in order, and the class of each, an index into `classes` or -1."""

    paths: list[str]
    codes: np.ndarray
    classes: list[str]
    superclasses: dict[str, list[str]]
    notes: tuple[str, ...] = ()


def image_folder(root: Path, tree: str = "auto", splits: Sequence[str] = (), follow_links: bool = False) -> Source:
    """The image files below a folder, in the order of their relative paths.

    tree: `flat` (no classes, whatever the folders), `classes` (class/file), `supers` (super-class/class/file), `tops`
    (class/anything/file), or `auto`: whichever of the first three it is. splits: of train, val, test, .. folders, those
    that are read. Links are followed only to files inside the folder, unless follow_links. Raises InputError for an
    empty or missing folder, a class folder whose files cannot be read, files at unequal depths, and split folders of
    which none is chosen.
    """
    if not require(root, "the folder of images").is_dir():
        raise InputError(f"{root}: is a file, expected a folder of images")
    listing = list_images(root, follow_links)
    if not listing.images:
        raise InputError(f"{root}: holds no image{_instead(listing)}; expected files ending in {USUAL}")
    labels = None if tree != "auto" else labels_of(str(root), listing, lambda name: (root / name).read_bytes())
    arranged = arrange(str(root), listing, tree, splits, labels)
    paths, codes = arranged.paths, arranged.codes

    def read(i: int) -> tuple[Image.Image, int]:
        return open_image(partial(os.path.join, root, paths[i])), int(codes[i])

    return Source(
        printable(root.name), len(paths), arranged.classes, read, lambda i: printable(paths[i]),
        superclasses=arranged.superclasses, left_out=listing.left_out(), notes=arranged.notes,
    )  # fmt: skip


def arrange(
    root: str,
    listing: Listing,
    tree: str = "auto",
    splits: Sequence[str] = (),
    labels: dict[str, Any] | None = None,
) -> Arrangement:
    """Sort a listing's images into classes: by `labels`, name by path, if they are given, else by their folders."""
    kept, folders, notes = _choose_splits(root, listing.images, splits)
    notes += _link_notes(listing) + _unread_notes(listing)
    if labels:
        return replace(_arrange_by_labels(root, kept, labels), notes=notes)
    tree = tree if labels is None else "flat"
    if tree == "auto":
        tops = {parts[0] for parts in folders if parts}
        if drawn := drawn_beside(tops):
            pictures = ", ".join(map(printable, sorted(tops - set(drawn))))
            raise InputError(
                f"{root}: its folders {pictures} and {', '.join(map(printable, drawn))} look like images and what was "
                f"drawn on them, not like classes; set `splits: [{pictures}]` to read the images alone, or `tree: "
                "classes` if they are classes"
            )
    if tree in ("auto", "tops"):
        folders = without_wrappers(folders)
    if tree == "tops":
        folders = [parts[:1] for parts in folders]
    depths = set(map(len, folders)) if tree != "flat" else {0}
    wanted = {"flat": {0}, "classes": {1}, "tops": {1}, "supers": {2}}.get(tree, depths)
    if depths != wanted or len(depths) > 1 or max(depths) > 2:
        odd, depth = next(
            (
                (path, len(parts))
                for path, parts in zip(kept, folders, strict=True)
                if len(depths) > 1 and len(parts) != min(wanted)
            ),
            (kept[0], len(folders[0])),
        )
        raise InputError(
            f"{root}/{printable(odd)}: lies {depth} folder(s) deep, expected all images "
            f"{'at one depth of at most 2' if tree == 'auto' else f'at depth {min(wanted)} (tree: {tree})'}; move it, "
            "or set `tree: flat`, which ignores folders, or `tree` to classes, supers or tops"
        )
    if max(depths) == 0:
        return Arrangement(kept, np.full(len(kept), -1), [], {}, notes)
    notes += _check_barren(root, listing, {tuple(path.split("/")[:-1]) for path in kept})
    names = ["/".join(map(printable, parts)) for parts in folders]
    classes, codes = np.unique(names, return_inverse=True)
    if are_buckets([name.rsplit("/", 1)[-1] for name in classes]):
        notes += (
            f"the folders' names look like numbered parts ({classes[0]}, .. {classes[-1]}), and count as classes; if "
            "they are none, set `tree: flat`",
        )
    supers: dict[str, list[str]] = {}
    if max(depths) == 2:
        for name in classes.tolist():
            supers.setdefault(name.split("/")[0], []).append(name)
    return Arrangement(kept, codes, classes.tolist(), supers, notes)


def _choose_splits(
    root: str, paths: list[str], splits: Sequence[str]
) -> tuple[list[str], list[tuple[str, ...]], tuple[str, ...]]:
    """The paths of the chosen splits, for each its folders without that of the split, and notes."""
    depth, there = splits_in(paths)
    if not splits and there:
        raise InputError(
            f"{root}: its folders {', '.join(map(printable, there))} look like splits of one set, not like classes; "
            f"set `splits: [{', '.join(map(printable, there))}]` to put them together, or name those to be read"
        )
    parts = [tuple(path.split("/")[:-1]) for path in paths]
    if not splits:
        return paths, parts, ()
    if not there:  # any folders at the top, if the user says so
        there = sorted({folders[0] for folders in parts if folders})
    if missing := [name for name in splits if name not in there]:
        raise InputError(f"{root}: splits: no folder {missing[0]} with images, only {', '.join(map(printable, there))}")
    chosen = [i for i, folders in enumerate(parts) if len(folders) > depth and folders[depth] in splits]
    left = len(paths) - len(chosen)
    notes = (f"{left} images outside the splits {', '.join(splits)} are not read",) if left else ()
    return [paths[i] for i in chosen], [parts[i][:depth] + parts[i][depth + 1 :] for i in chosen], notes


def _arrange_by_labels(root: str, paths: list[str], labels: dict[str, Any]) -> Arrangement:
    """Classes from StyleGAN's dataset.json; the folders are numbered parts."""
    if missing := [path for path in paths if path not in labels]:
        raise InputError(
            f"{root}/{printable(missing[0])}: {LABELS_FILE} has no label for it ({len(missing)} of {len(paths)} images "
            "lack one); complete it, or remove it if the folders are the classes"
        )
    values = [labels[path] for path in paths]
    if not are_classes(values):
        raise InputError(
            f"{root}: {LABELS_FILE}: expected a whole number for each image as its label; `tree: flat` reads the "
            "images without labels"
        )
    classes, codes = np.unique(values, return_inverse=True)
    return Arrangement(paths, codes, [str(value) for value in classes], {})


def are_classes(values: Iterable[Any]) -> bool:
    """Whether the labels of a dataset.json are classes; those of EG3D, for one, are cameras."""
    return all(isinstance(value, int) for value in values)


def labels_of(root: str, listing: Listing, read: Callable[[str], bytes]) -> dict[str, Any] | None:
    """The labels of StyleGAN's dataset.json by path, empty if it says that there are none; None without such a file.

    It lies beside the images or above them, and is no longer counted among the other files.
    """
    for name in sorted(listing.other, key=len):
        folder = name.removesuffix(LABELS_FILE)
        if folder + LABELS_FILE == name and all(path.startswith(folder) for path in listing.images):
            if (labels := _labels_in(partial(read, name), f"{root}/{printable(name)}")) is None:
                return None
            listing.other.remove(name)
            return {folder + path: label for path, label in labels.items()}
    return None


def _labels_in(read: Callable[[], bytes], name: str) -> dict[str, Any] | None:
    try:
        pairs = json.loads(read())
        if not isinstance(pairs, dict) or not isinstance(pairs.get("labels", 0), list | type(None)):
            return None
        return {str(path).replace("\\", "/"): label for path, label in pairs["labels"] or []}
    except Exception as cause:  # whatever does not fit
        raise InputError(
            f'{name}: not the labels of an image set ({type(cause).__name__}: {cause}); expected {{"labels": [[name, '
            "class], ...]}"
        ) from cause


def _check_barren(root: str, listing: Listing, holding: set[tuple[str, ...]]) -> tuple[str, ...]:
    """Raises InputError for a class folder without an image; notes of folders that are no classes."""
    parents = {folder[:-1] for folder in holding}
    notes: tuple[str, ...] = ()
    for path, held in sorted(listing.barren.items()):
        if tuple(path.split("/"))[:-1] not in parents or not path:
            continue
        kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in held.most_common(5))
        if set(held) <= DOCUMENTS:  # nothing at all, or only text
            notes += (f"the folder {printable(path)} holds no image ({kinds or 'it is empty'}), and is no class",)
        elif "link" in held:
            raise InputError(
                f"{root}/{printable(path)}: a class folder with links out of the folder ({held['link']}), which are "
                "not followed; set `follow_links: true`, or remove it"
            )
        elif DANGLING in held:
            raise InputError(
                f"{root}/{printable(path)}: a class folder with links to nothing ({held[DANGLING]}); restore what they "
                "lead to, or remove it"
            )
        else:
            raise InputError(
                f"{root}/{printable(path)}: a class folder without a readable image ({kinds}); convert its files to "
                "PNG, or move it out"
            )
    return notes


def _link_notes(listing: Listing) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if listing.links:
        notes += (
            f"{len(listing.links)} links, such as {printable(listing.links[0])}, lead out of the folder and are not "
            "followed; `follow_links: true` reads them",
        )
    if listing.dangling:
        notes += (f"{len(listing.dangling)} links, such as {printable(listing.dangling[0])}, lead to nothing",)
    return notes


def _unread_notes(listing: Listing) -> tuple[str, ...]:
    """A note of each kind of pictures that are no images for Pillow, with the way to what it reads."""
    kinds = Counter(map(suffix_of, listing.other))
    return tuple(
        f"files ending in {suffix} ({kinds[suffix]}) are not read: {advice_for(f'x{suffix}')}"
        for suffix in sorted(PICTURES_NOT_READ & set(kinds))
    )


def _instead(listing: Listing) -> str:
    """What a folder without an image holds."""
    if listing.dangling:
        return f", but {len(listing.dangling)} links to nothing, such as {printable(listing.dangling[0])}"
    if listing.links:
        return (
            f", but {len(listing.links)} links out of it, such as {printable(listing.links[0])} (set `follow_links: "
            "true` to read them)"
        )
    kinds = Counter(suffix_of(name) or "without a suffix" for name in listing.other).most_common(5)
    if not kinds:
        return ""
    advice = next((f" ({way})" for name in listing.other if (way := advice_for(name))), "")
    return f", but {', '.join(f'{count} {kind}' for kind, count in kinds)}{advice}"
