"""The fingerprint of a folder's listing: it changes with any file's name, size or time. Imports no decoder."""

import hashlib
import os
from functools import cache


@cache
def listing_fingerprint(root: str, follow_links: bool = False) -> str:
    """Sixteen hexadecimal digits of the names, sizes and times of all files below a folder; empty if there is none.

    Names that begin with a dot do not count: systems change such files by themselves.
    """
    if not os.path.isdir(root):
        return ""
    digest, folders, seen = hashlib.blake2b(digest_size=8), [root], set()
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
    return digest.hexdigest()
