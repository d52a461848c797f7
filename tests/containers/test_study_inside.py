"""The real image and the real workflow inside it, through `snakemake --sdm apptainer`."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT, assert_same_artifacts, not_here, replication_study, run_snakemake
from tests.workflow.test_module import outer_workflow, snakemake
from workflow_scripts.containers.image import LOCK, image_path, labels
from workflow_scripts.core.files import sha256
from workflow_scripts.core.provenance import code_revision
from workflow_scripts.engine.jobs import MALLOC

pytestmark = pytest.mark.container
IMAGE = image_path(ROOT)

# The workflow with one more job, which tells what it sees from inside.
PROBE = """
include: "{root}/Snakefile"

rule probe:
    output: "results/probe.json"
    log: "results/logs/probe.log"
    container: IMAGE
    threads: 1
    params: lock="{root}/{lock}"
    script: "probe.py"
"""
PROBE_SCRIPT = """
import json, os, sys
from pathlib import Path
from workflow_scripts.containers.check_image import can_compile, foreign_modules, locked_versions
from workflow_scripts.core.files import write_json
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
locked = locked_versions(Path(snakemake.params.lock).read_text())
variables = dict(os.environ)
foreign = foreign_modules(locked, Path("/opt/copycat"))
seen = {"prefix": sys.prefix, "variables": variables, "foreign": foreign, "compiles": can_compile()}
write_json(snakemake.output[0], seen)
"""


@pytest.fixture(scope="module", autouse=True)
def _apptainer() -> None:
    if not shutil.which("apptainer"):
        not_here("container", "no apptainer on the path; .ci/install-apptainer installs it on Debian")
    if not IMAGE.exists() and not os.environ.get("COPYCAT_IMAGE_BASE"):
        not_here("container", "there is no image yet; `make image` builds it")


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the smoke study inside the image, which this run builds if there is none."""
    folder = tmp_path_factory.mktemp("inside")
    there = IMAGE.exists()
    done = run_snakemake(folder, "--sdm", "apptainer")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    assert ("Building the container image" in done.stderr) is not there
    return folder


@pytest.fixture
def away() -> Iterator[Path]:
    """A folder that Apptainer does not show to a container by itself, unlike /tmp and the working directory."""
    folder = Path(tempfile.mkdtemp(prefix="copycat test, äöü ", dir=Path.home()))
    yield folder
    shutil.rmtree(folder)


def test_a_plan_builds_no_image(tmp_path: Path) -> None:
    there = IMAGE.exists()
    plan = run_snakemake(tmp_path, "--dry-run", "--sdm=apptainer")
    assert plan.returncode == 0, plan.stderr
    assert IMAGE.exists() is there


def test_every_computing_job_ran_inside(inside: Path) -> None:
    records = [json.loads(path.read_text()) for path in (inside / "results/provenance").rglob("*.json")]
    # Snakemake's report is another run of Snakemake itself, outside any container.
    computing = [record for record in records if record["rule"] != "write_workflow_report"]
    assert len(computing) < len(records)
    assert {record["versions"]["python"] for record in computing} == {labels(IMAGE, ["python"])["python"]}
    assert {record["revision"] for record in records} == {code_revision(ROOT)}


def test_the_image_says_what_it_holds(inside: Path) -> None:
    labelled = labels(IMAGE)
    assert labelled["lock.sha256"] == sha256(ROOT / LOCK)
    assert "torch-2." in labelled["versions"]


@pytest.mark.parametrize("spelling", ["--sdm=apptainer", "--use-apptainer"])
def test_after_a_run_inside_nothing_is_left_to_do(inside: Path, spelling: str) -> None:
    again = run_snakemake(inside, "--dry-run", spelling)
    assert again.returncode == 0, again.stderr
    assert "Nothing to be done" in again.stdout + again.stderr


def test_nothing_is_written_beside_the_results(inside: Path) -> None:
    assert {path.name for path in inside.iterdir()} <= {"results", ".snakemake"}


def test_a_job_sees_the_images_packages_and_none_of_the_hosts_variables(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Snakefile").write_text(PROBE.format(root=ROOT, lock=LOCK))
    (tmp_path / "probe.py").write_text(PROBE_SCRIPT)
    for name in ("COPYCAT_LEAK", "LD_PRELOAD_OF_HOST", "MPLBACKEND", "PYTHONSTARTUP", "OMP_SCHEDULE"):
        monkeypatch.setenv(name, "host")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    done = run_snakemake(
        tmp_path, "--sdm", "apptainer", "--snakefile", str(tmp_path / "Snakefile"), "--", "results/probe.json"
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    seen = json.loads((tmp_path / "results/probe.json").read_text())
    assert seen["prefix"] == "/opt/copycat"
    assert seen["foreign"] == []
    assert seen["compiles"]
    assert "host" not in seen["variables"].values()
    assert seen["variables"]["OMP_NUM_THREADS"] == "1"
    assert seen["variables"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert seen["variables"].items() >= MALLOC.items()
    host = {"VIRTUAL_ENV", "SSH_CONNECTION", "LOGNAME", "MAIL", "PIP_CONFIG_FILE", "SHLVL_OF_HOST"}
    assert not host & set(seen["variables"])


def test_data_outside_the_working_directory_is_bound(inside: Path, tmp_path: Path, away: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cats/1.png", "cats/2.png", "cats/3.png", "dogs/1.png", "dogs/2.png", "dogs/3.png"):
        (away / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(away / name)
    study = replication_study()
    study["datasets"] = {"mine": {"source": "imagefolder", "path": str(away), "resolution": 16, "held_out": 0}}
    study["replication"] |= {"datasets": {"mine": {"sizes": [6]}}, "thresholds": [{"rms": 0.1}], "spaces": ["pixel"]}
    study["complexity"]["neighbours"] = [3, 4]
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump(study))
    words = ("--use-apptainer", "--", "results/data/mine/manifest.json")  # the older spelling
    done = run_snakemake(tmp_path, *words, config=config)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert json.loads((tmp_path / "results/data/mine/manifest.json").read_text())["count"] == 6


def test_as_a_module_its_jobs_run_in_its_image_and_other_rules_in_theirs(inside: Path, tmp_path: Path) -> None:
    folder = outer_workflow(tmp_path, "as copycat_*")
    snakemake(folder, "--sdm=apptainer", "--dry-run")
    snakemake(folder, "--sdm=apptainer", "results/data/fashion-mnist/manifest.json")
    record = json.loads((folder / "results/provenance/data/fashion-mnist/manifest.json.json").read_text())
    assert record["versions"]["python"] == labels(IMAGE, ["python"])["python"]


def test_results_inside_equal_those_outside(inside: Path, smoke_run: Path) -> None:
    assert_same_artifacts(inside, smoke_run)
