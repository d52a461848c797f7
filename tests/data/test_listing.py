"""The fingerprint of a folder changes with its files, and with nothing else."""

import os
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import write_json
from workflow_scripts.data.listing import files_below, require_enough_images


def fingerprint(folder: Path, follow_links: bool = False) -> str:
    files_below.cache_clear()
    return files_below(str(folder), follow_links).fingerprint


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


def study(dataset: dict[str, Any], *sizes: int) -> dict[str, Any]:
    return {"datasets": {"mine": dataset}, "replication": {"datasets": {"mine": {"sizes": list(sizes)}}}}


def test_sizes_beyond_a_folder_or_a_packed_file_are_refused_before_any_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files_below.cache_clear()
    for name in ("in", "out"):
        Path(name).mkdir()
        for i in range(10):
            Path(name, f"{i}.png").write_bytes(b"")
    folder = {"source": "imagefolder", "path": "in", "follow_links": False, "held_out": 4, "held_out_path": None}
    require_enough_images(study(folder, 2, 6))
    with pytest.raises(InputError, match=r"mine\.sizes: 7 is too large: in has at most 10 images, and 4 of them are"):
        require_enough_images(study(folder, 2, 7))
    own = folder | {"held_out_path": "out"}
    require_enough_images(study(own, 10))
    with pytest.raises(InputError, match=r"sizes: 11 is too large: in has at most 10 images; lower"):
        require_enough_images(study(own, 11))
    with pytest.raises(InputError, match=r"held_out: 12 is too large: out has at most 10 images"):
        require_enough_images(study(own | {"held_out": 12}, 4))
    packed = {"source": "zip", "path": "in/0.png", "held_out": 4, "subsets": "random"}
    require_enough_images(study(packed, 700))  # nobody has counted them yet
    write_json("results/data/mine/manifest.json", {"count": 20, "settings": {"source": "zip", "path": "in/0.png"}})
    require_enough_images(study(packed, 16))
    with pytest.raises(InputError, match=r"sizes: 17 is too large: in/0\.png has at most 20 images"):
        require_enough_images(study(packed, 17))
    os.utime("in/0.png", (2e9, 2e9))  # another file since
    require_enough_images(study(packed, 17))
