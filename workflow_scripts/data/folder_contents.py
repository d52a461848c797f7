"""What a folder or an archive holds: images, other files, junk, and links that lead out of it or to nothing."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.formats import SUFFIXES, begins_like_an_image
from workflow_scripts.data.source import printable

# What systems and programs leave behind, beside all names that begin with a dot.
JUNK = {
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "thumbs.db",
    "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "zbthumbnail.info", "__pycache__", "found.000",
    "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "@synoresource", "$recycle", "temporary items",
    "network trash folder", "thevolumesettingsfolder", "recycler", "recycled", "recycle.bin", "lost.dir", "_vti_cnf",
    "_vti_pvt", "_gsdata_", "~snapshot", "picasa.ini", "desktop db", "desktop df", "pspbrwse.jbf", "sync.ffs_db",
    "indexervolumeguid", "wpsettings.dat",
}  # fmt: skip
DANGLING = "link to nothing"


@dataclass
class Listing:
    """Paths, relative to the set's root and divided by slashes, of what a folder holds.

    barren: of each folder without a single image in it or below it, the suffixes there with their numbers of files.
    """

    images: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    junk: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    barren: dict[str, Counter[str]] = field(default_factory=dict)

    def left_out(self) -> dict[str, list[str]]:
        kinds = {
            "other files": self.other, "junk": self.junk, "links": self.links, "links to nothing": self.dangling,
        }  # fmt: skip
        return {kind: sorted(map(printable, names)) for kind, names in kinds.items() if names}


def inner_path(name: str) -> str:
    """An archive member's path without what leads nowhere: `./`, `../` and a slash at its beginning."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def is_junk(name: str) -> bool:
    """Whether a system or a program leaves such a file behind, as Windows marks where a download came from."""
    low = name.lower()
    return name.startswith((".", "~$")) or low in JUNK or low.endswith("zone.identifier")


def list_images(root: Path, follow_links: bool = False) -> Listing:
    """All images below a folder, and what else is there. Raises InputError for a folder that cannot be listed."""
    listing = Listing()
    inside = os.path.realpath(root) + os.sep
    seen: set[tuple[int, int]] = set()

    def walk(folder: str, prefix: str) -> bool:
        """Whether an image is in the folder or below it."""
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back
            return True
        seen.add((status.st_dev, status.st_ino))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as cause:
            raise InputError(f"{printable(folder)}: cannot be listed ({cause}); correct its rights") from cause
        holds, others = False, Counter[str]()
        for entry in entries:
            path = prefix + entry.name
            if is_junk(entry.name):
                listing.junk.append(path)
            elif _is_dir(entry, follow_links):
                holds |= walk(entry.path, path + "/")
                others += listing.barren.get(path, Counter())
            elif entry.is_symlink() and not os.path.exists(entry.path):
                listing.dangling.append(path)
                others[DANGLING] += 1
            elif entry.is_symlink() and not follow_links and not _is_file_inside(entry, inside):
                listing.links.append(path)
                others["link"] += 1
            elif _is_image(entry):
                listing.images.append(path)
                holds = True
            else:
                listing.other.append(path)
                others[suffix_of(entry.name)] += 1
        if not holds:
            listing.barren[prefix.rstrip("/")] = others
        return holds

    walk(os.fspath(root), "")
    listing.images.sort(key=lambda path: path.split("/"))
    return listing


def list_names(names: Iterable[str]) -> Listing:
    """The same for the names of an archive's members."""
    listing = Listing()
    for name in sorted(names, key=lambda name: name.split("/")):
        if any(map(is_junk, name.split("/"))):
            listing.junk.append(name)
        elif suffix_of(name) in SUFFIXES:
            listing.images.append(name)
        else:
            listing.other.append(name)
    holding = {folder for name in listing.images for folder in _folders_of(name)}
    for name in listing.other:
        for folder in _folders_of(name):
            if folder not in holding:
                listing.barren.setdefault(folder, Counter())[suffix_of(name)] += 1
    return listing


def _folders_of(name: str) -> list[str]:
    """All folders that a file lies in: `a` and `a/b` of a/b/1.png."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_image(entry: os.DirEntry[str]) -> bool:
    """By its suffix, or without one by its first bytes; a pipe, which would be waited for, is none."""
    suffix = suffix_of(entry.name)
    return (suffix in SUFFIXES or not suffix) and _is_file(entry) and (suffix != "" or begins_like_an_image(entry.path))


def _is_file_inside(entry: os.DirEntry[str], inside: str) -> bool:
    return _is_file(entry) and os.path.realpath(entry.path).startswith(inside)


def _is_dir(entry: os.DirEntry[str], follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # a link that leads to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
