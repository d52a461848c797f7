"""How the image is named, where its packages come from, and what is said when it cannot be built."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from workflow_scripts.containers import image
from workflow_scripts.containers.check_image import locked_versions, wrong_versions
from workflow_scripts.containers.image import (
    LOCK,
    SOURCES,
    base_arguments,
    check_apptainer,
    image_name,
    stage_pip_settings,
)
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import sha256


def program(folder: Path, text: str) -> None:
    """Make a program `apptainer` that prints `text`."""
    path = folder / "apptainer"
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize("changed", SOURCES)
def test_the_name_changes_with_every_source_and_with_nothing_else(tmp_path: Path, changed: str) -> None:
    for source in SOURCES:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_bytes((ROOT / source).read_bytes())
    assert image_name(tmp_path) == image_name(ROOT)
    (tmp_path / changed).write_bytes((tmp_path / changed).read_bytes() + b"\n")
    assert image_name(tmp_path) != image_name(ROOT)


def test_a_missing_apptainer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no such program on the path. Install Apptainer 1.2 or newer"):
        check_apptainer()


@pytest.mark.parametrize("printed", ["apptainer version 1.1.9", "apptainer version 0.9"])
def test_an_old_apptainer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
    program(tmp_path, printed)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(InputError, match=f"found {printed}, need 1.2 or newer"):
        check_apptainer()


@pytest.mark.parametrize("printed", ["apptainer version 1.2.0", "apptainer version 1.4.5-2", "apptainer version 2.0"])
def test_a_new_apptainer_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
    program(tmp_path, printed)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    check_apptainer()


def test_a_base_is_a_folder_a_file_or_an_image_of_a_registry(tmp_path: Path) -> None:
    assert base_arguments(None) == []
    (tmp_path / "debian.sif").touch()
    for local in (tmp_path, tmp_path / "debian.sif"):
        assert base_arguments(str(local)) == ["bootstrap=localimage", f"base={local}"]
    assert base_arguments("docker://python:3.11") == ["bootstrap=docker", "base=python:3.11"]
    with pytest.raises(InputError, match="COPYCAT_IMAGE_BASE"):
        base_arguments(str(tmp_path / "missing"))


def test_the_hosts_packages_are_bound_and_their_settings_rewritten(tmp_path: Path) -> None:
    stage, site = tmp_path / "stage", tmp_path / "site"
    for folder in (stage, site / "index/simple", site / "wheels"):
        folder.mkdir(parents=True)
    (site / "ca.crt").touch()
    settings = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": f"file://{site}/index/simple https://other.example/simple",
        "find-links": f"{site}/wheels",
        "cert": f"{site}/ca.crt",
        "timeout": "60",
    }
    binds = stage_pip_settings(settings, stage)
    # An index may link to files beside it: its parent is bound.
    expected = [(stage, ""), (site / "index", "/0"), (site / "wheels", "/1"), (site / "ca.crt", "/2")]
    assert binds == [f"{source}:/mnt{target}" for source, target in expected]
    assert (stage / "pip.conf").read_text().splitlines() == [
        "[global]",
        "index-url = https://mirror.example/simple",
        "extra-index-url = file:///mnt/0/simple https://other.example/simple",
        "find-links = /mnt/1",
        "cert = /mnt/2",
        "timeout = 60",
    ]
    assert (stage / "0").is_dir()
    assert (stage / "2").is_file()


def test_the_environment_outranks_the_hosts_pip_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text("[global]\ntimeout = 10\nretries = 3\n[install]\nretries = 4\nuser = yes\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_TIMEOUT", "20")
    result = image.host_pip_settings()
    assert (result["timeout"], result["retries"]) == ("20", "4")
    assert "user" not in result


def test_this_environment_is_the_locks_and_a_wrong_one_is_told() -> None:
    locked = locked_versions((ROOT / image.LOCK).read_text())
    assert len(locked) > 100
    assert wrong_versions(locked) == []
    assert wrong_versions({"numpy": "1.0", "no-such-package": "2"}) == [
        f"numpy: 1.0 is locked, {locked['numpy']} is installed",
        "no-such-package: 2 is locked, no version is installed",
    ]


BUILDS = """
import sys, time
from pathlib import Path
from workflow_scripts.containers import build_image
from workflow_scripts.core.files import atomic_path, sha256

def build(root, image, base):
    with atomic_path(image) as temporary:
        temporary.write_bytes(b"image")
        time.sleep(0.5)
    print("built", flush=True)

build_image.build = build
build_image.labels = lambda image: {"lock.sha256": sha256(build_image.LOCK), "versions": ""}
build_image.main(build_image.SimpleNamespace(image=Path(sys.argv[1])))
"""


def test_of_several_runs_that_want_the_image_at_once_one_builds_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", BUILDS, str(tmp_path / "containers/copycat.sif")]
    runs = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sorted(said) == ["", "", "built\n"]
    assert (tmp_path / "containers/copycat.sif").read_bytes() == b"image"


def test_the_program_that_builds_checks_what_it_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the build itself: the check of the labels, the log."""
    made = {"lock.sha256": sha256(ROOT / LOCK), "versions": "torch-2"}
    module = "workflow_scripts.containers.image"
    monkeypatch.setattr(f"{module}.build", lambda root, image, base: image.write_bytes(b"image"))
    monkeypatch.setattr(f"{module}.labels", lambda image: made)
    monkeypatch.setattr(f"{module}.image_path", lambda root: tmp_path / "copycat.sif")
    monkeypatch.chdir(tmp_path)
    runpy.run_module("workflow_scripts.containers.build_image", run_name="__main__")
    assert (tmp_path / "copycat.sif").read_bytes() == b"image"
    assert (tmp_path / image.BUILD_LOG).exists()
    made["lock.sha256"] = "another"
    with pytest.raises(SystemExit):
        runpy.run_module("workflow_scripts.containers.build_image", run_name="__main__")


def test_an_image_that_is_there_is_not_built_and_a_build_that_fails_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no Apptainer
    monkeypatch.setattr(image, "image_path", lambda root: tmp_path)
    image.require_image(ROOT)
    monkeypatch.setattr(image, "image_path", lambda root: tmp_path / "missing.sif")
    with pytest.raises(InputError, match=r"results/logs/build_image\.log"):
        image.require_image(ROOT)
    assert (tmp_path / image.BUILD_LOG).read_text()
