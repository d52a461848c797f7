"""What planning knows of a data set's files: a fingerprint of a folder's listing, and whether there are enough images.

Imports no decoder.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import InputError

NOT_OF_PIXELS = ("held_out", "subsets")  # settings that packing does not depend on


@dataclass(frozen=True)
class Files:
    """fingerprint: sixteen hexadecimal digits of the names, sizes and times of all files; count: of them."""

    fingerprint: str
    count: int


@cache
def files_below(root: str, follow_links: bool = False) -> Files:
    """All files below a folder; an empty fingerprint if there is none.

    Names that begin with a dot do not count: systems change such files by themselves.
    """
    if not os.path.isdir(root):
        return Files("", 0)
    digest, folders, seen, count = hashlib.blake2b(digest_size=8), [root], set(), 0
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:  # packing says which
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                status = entry.stat()
            except OSError:  # a link that leads nowhere
                status = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=follow_links):
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    folders.append(entry.path)
            else:
                what = f"{folder[len(root) :]}/{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\n"
                digest.update(os.fsencode(what))
                count += 1
    return Files(digest.hexdigest(), count)


def require_enough_images(config: Mapping[str, Any]) -> None:
    """Raises InputError if a replication study asks for more images than a data set can have, before any job runs."""
    for name, chosen in config["replication"]["datasets"].items():
        dataset, largest = config["datasets"][name], max(chosen["sizes"], default=0)
        own = dataset.get("held_out_path")
        held_out = 0 if own else dataset["held_out"]
        most = _most_images(dataset, Path(f"results/data/{name}/manifest.json"))
        if most is not None and most < largest + held_out:
            raise InputError(
                f"replication.datasets.{name}.sizes: {largest} is too large: {dataset['path']} has at most "
                f"{most:,} images" + f", and {held_out} of them are held out" * bool(held_out) + "; lower either"
            )
        if own and 0 < (there := files_below(own, dataset.get("follow_links", False)).count) < dataset["held_out"]:
            raise InputError(
                f"datasets.{name}.held_out: {dataset['held_out']} is too large: {own} has at most {there:,} images"
            )


def _most_images(dataset: Mapping[str, Any], manifest: Path) -> int | None:
    """No more images than these can be in the set: the files of a folder, or what was packed from a file."""
    path = dataset.get("path") or ""
    if dataset["source"] == "imagefolder":
        return files_below(path, dataset["follow_links"]).count or None
    try:
        details = json.loads(manifest.read_bytes())
        settings = {key: value for key, value in dataset.items() if key not in NOT_OF_PIXELS}
        packed = settings == details["settings"] and os.stat(path).st_mtime < manifest.stat().st_mtime
        return details["count"] if packed and not dataset.get("held_out_path") else None
    except (OSError, ValueError, KeyError):  # not packed yet
        return None
