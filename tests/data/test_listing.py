"""The fingerprint of a folder changes with its files, and with nothing else."""

import os
from pathlib import Path

from workflow_scripts.data.listing import listing_fingerprint


def fingerprint(folder: Path, follow_links: bool = False) -> str:
    listing_fingerprint.cache_clear()
    return listing_fingerprint(str(folder), follow_links)


def test_every_change_of_a_file_changes_it(tmp_path: Path) -> None:
    (tmp_path / "set/ant").mkdir(parents=True)
    image = tmp_path / "set/ant/1.png"
    image.write_bytes(b"a")
    seen = [fingerprint(tmp_path / "set")]
    assert fingerprint(tmp_path / "set") == seen[0]
    (tmp_path / "set/ant/.hidden").write_bytes(b"")
    assert fingerprint(tmp_path / "set") == seen[0]
    image.write_bytes(b"ab")
    seen.append(fingerprint(tmp_path / "set"))
    os.utime(image, (1, 1))
    seen.append(fingerprint(tmp_path / "set"))
    image.rename(tmp_path / "set/ant/2.png")
    seen.append(fingerprint(tmp_path / "set"))
    (tmp_path / "set/ant").rename(tmp_path / "set/owl")
    seen.append(fingerprint(tmp_path / "set"))
    (tmp_path / "store").mkdir()
    (tmp_path / "store/3.png").write_bytes(b"")
    (tmp_path / "set/view").symlink_to(tmp_path / "store")
    (tmp_path / "set/round").symlink_to(tmp_path / "set")
    seen += [fingerprint(tmp_path / "set", links) for links in (False, True)]
    (tmp_path / "set/owl/2.png").unlink()
    seen.append(fingerprint(tmp_path / "set"))
    assert len(set(seen)) == len(seen)
    assert fingerprint(tmp_path / "nowhere") == ""
