"""The real workflow on the smoke study: complete, quiet when nothing changed, and the same bytes after a kill."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT, SMOKE, digests, run_snakemake, snakemake_command


def test_every_artifact_of_the_study_is_made(smoke_run: Path) -> None:
    results = smoke_run / "results"
    study = yaml.safe_load(SMOKE.read_text())
    table = pd.read_csv(results / "replication/table.csv")
    sizes = {size for part in study["replication"]["datasets"].values() for size in part["sizes"]}
    assert set(table["size"]) == sizes
    assert table["percentage"].between(0, 100).all()
    assert (table["low"] <= table["percentage"]).all()
    assert (table["percentage"] <= table["high"]).all()
    assert (results / "summary.md").read_text().strip()
    effective = yaml.safe_load((results / "config.yaml").read_text())
    assert effective["replication"]["samples"] == study["replication"]["samples"]
    assert effective["replication"]["seeds"] == [0]  # a default
    report = (results / "report.html").read_text()
    for word in ("decay", "similarity", "gain"):
        assert word in report.lower()
    assert not list(results.rglob("*.partial*"))
    assert not (results / "checkpoints").exists() or not any((results / "checkpoints").rglob("*.pt"))


def test_rebalancing_leaves_image_sets_and_pairs_of_arms(smoke_run: Path) -> None:
    results = smoke_run / "results"
    cell = results / "rebalancing/fashion-mnist/all/seed-0"
    counts = json.loads((cell / "counts.json").read_text())
    report = pd.read_csv(cell / "synthetic/class-gan/random/report.csv")
    assert report["found"].tolist() == counts["wanted"]
    manifest = json.loads((cell / "synthetic/class-gan/random/manifest.json").read_text())
    images = np.load(cell / "synthetic/class-gan/random/images.npy")
    assert len(images) == manifest["count"] == sum(counts["wanted"])
    assert manifest["classes"] == counts["classes"]
    table = pd.read_csv(results / "rebalancing/table.csv")
    assert set(table["arm"]) == {
        "original", "class-weights", "repetition", "balanced-softmax", "class-gan.random", "class-gan.classifier-1",
    }  # fmt: skip
    assert set(table["group"]) == {"fashion-mnist/all", "fashion-mnist/alike-1"}
    assert table["value"].between(0, 100).all()
    law = json.loads((results / "gain_law/law.json").read_text())["laws"]["class-gan.classifier-1"]
    assert law["identified"] is False
    assert law["reason"]
    advice = (results / "advice/fashion-mnist.md").read_text().splitlines()
    assert 3 <= len(advice) <= 8


def test_every_job_leaves_a_log_and_a_benchmark(smoke_run: Path) -> None:
    rules = {"pack_images", "train_generator", "draw_samples", "compare_samples", "estimate_dimension", "fit_decay"}
    for kind in ("logs", "benchmarks"):
        assert rules <= {path.name.split(".")[0] for path in (smoke_run / "results" / kind).iterdir()}


def test_a_second_run_has_nothing_to_do(smoke_run: Path) -> None:
    again = run_snakemake(smoke_run, "--dry-run")
    assert again.returncode == 0, again.stderr
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_single_file_is_made_alone(smoke_run: Path) -> None:
    target = next((smoke_run / "results/complexity").rglob("seed-*.json")).relative_to(smoke_run)
    plan = run_snakemake(smoke_run, "--dry-run", "--forcerun", "estimate_dimension", "--", str(target))
    assert plan.returncode == 0, plan.stderr
    jobs = re.findall(r"^(?:local)?rule (\w+):", plan.stdout + plan.stderr, re.MULTILINE)
    assert jobs == ["estimate_dimension"]


def test_a_wrong_config_stops_before_the_first_job(tmp_path: Path) -> None:
    study = yaml.safe_load(SMOKE.read_text())
    study["replication"]["sampels"] = 5
    study["complexity"] = {"bootstraps": -1}
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(study))
    done = run_snakemake(tmp_path, config=wrong)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "replication.sampels" in output
    assert "samples" in output
    assert "complexity.bootstraps" in output
    assert not (tmp_path / "results").exists()


# Every long rule once, without the many short ones that a whole study has.
TRAINED = [
    "results/replication/pixel/biggan/fashion-mnist/size-12/seed-0.json",
    "results/encoders/simclr/fashion-mnist/training.csv",
    "results/rebalancing/fashion-mnist/all/seed-0/arms/class-gan.classifier-1/predictions.npy",
]


@pytest.mark.parametrize("killed", ["script", "everything"])
def test_after_a_kill_the_same_command_ends_in_the_same_bytes(smoke_run: Path, tmp_path: Path, killed: str) -> None:
    """SIGKILL in the middle of training, then the README's commands: every artifact equals the uninterrupted run's."""
    process = subprocess.Popen(
        snakemake_command(tmp_path, "--", *TRAINED), cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (training := _training_processes(process.pid)) and process.poll() is None:
        assert time.monotonic() < deadline, "no training job appeared"
        time.sleep(0.2)
    assert training, "the run ended before training began"
    if killed == "script":
        os.kill(training[0], signal.SIGKILL)
        assert process.wait(300) != 0
    else:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pid in training:  # jobs may have left the process group
            _kill_if_alive(pid)
    run_snakemake(tmp_path, "--unlock")
    done = run_snakemake(tmp_path, "--", *TRAINED)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    whole, again = digests(smoke_run), digests(tmp_path)
    assert {path.removeprefix("results/") for path in TRAINED} <= again.keys()
    assert again == {path: whole[path] for path in again}


def _training_processes(ancestor: int) -> list[int]:
    """Processes under `ancestor` whose own program is train_generator.py."""
    found = []
    for process in psutil.Process(ancestor).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if len(command) == 2 and command[1].endswith("train_generator.py"):
                found.append(process.pid)
    return found


def _kill_if_alive(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_an_own_folder_of_images_is_packed(tmp_path: Path) -> None:
    """The README's way, with a path that has spaces and an umlaut; then one image is damaged."""
    folder = tmp_path / "Bilder für Tests"
    random = np.random.default_rng(0)
    for name in ("cats/1.png", "cats/2.jpg", "cats/3.png", "dogs/1.webp", "dogs/2.png", "dogs/3.PNG"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(folder / name)
    study = {
        key: value
        for key, value in yaml.safe_load(SMOKE.read_text()).items()
        if key not in ("similarity", "rebalancing", "distillation")
    }
    study["datasets"] = {"mine": {"source": "imagefolder", "path": str(folder), "resolution": 16, "held_out": 0}}
    study["replication"] |= {"datasets": {"mine": {"sizes": [6]}}, "thresholds": [{"rms": 0.1}], "spaces": ["pixel"]}
    study["complexity"]["neighbours"] = [3, 4]
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump(study))

    (folder / "dogs/2.png").write_bytes(b"not an image")
    done = run_snakemake(tmp_path, "--", "results/subsets/mine/seed-0/order.npy", config=config)
    assert done.returncode != 0
    assert "dogs/2.png in Bilder für Tests: not a readable image" in done.stdout + done.stderr
    assert not (tmp_path / "results/data/mine/images.npy").exists()

    (folder / "dogs/2.png").write_bytes((folder / "cats/1.png").read_bytes())
    done = run_snakemake(tmp_path, "--", "results/subsets/mine/seed-0/order.npy", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((tmp_path / "results/data/mine/manifest.json").read_text())
    assert (manifest["count"], manifest["classes"]) == (6, ["cats", "dogs"])
    assert manifest["duplicates"] == {"images": 1, "groups": [[0, 4]]}


def test_a_search_in_shards_gives_the_same_bytes(smoke_run: Path, tmp_path: Path) -> None:
    study = yaml.safe_load(SMOKE.read_text())
    study["replication"]["shards"] = 3
    config = tmp_path / "sharded.yaml"
    config.write_text(yaml.safe_dump(study))
    made = [("neighbours", "*/*/*/*/*.parquet"), ("controls", "*/*/*/*.parquet"), ("features", "*/*/images.npy")]
    for name in ("data", "subsets", "samples", "encoders"):
        shutil.copytree(smoke_run / "results" / name, tmp_path / "results" / name)
    wanted = []
    for folder, pattern in made:
        found = sorted((smoke_run / "results" / folder).glob(pattern))
        wanted.append(next(path for path in found if "simclr" in path.parts).relative_to(smoke_run))
    done = run_snakemake(tmp_path, "--rerun-triggers", "mtime", "--", *map(str, wanted), config=config)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for rule in ("search_shard", "search_control_shard", "extract_feature_shard"):
        assert len(list((tmp_path / "results/benchmarks" / rule).rglob("*.tsv"))) == 3
    for path in wanted:
        assert (tmp_path / path).read_bytes() == (smoke_run / path).read_bytes()
    assert not list(tmp_path.rglob("shard-*"))


def test_students_learn_from_stored_views(smoke_run: Path, tmp_path: Path) -> None:
    study = yaml.safe_load(SMOKE.read_text())
    study["distillation"] |= {"protocol": "stored", "stored_views": 2}
    config = tmp_path / "stored.yaml"
    config.write_text(yaml.safe_dump(study))
    cell = Path("results/distillation/fashion-mnist/seed-0")
    for name in ("data", "subsets"):
        shutil.copytree(smoke_run / "results" / name, tmp_path / "results" / name)
    shutil.copytree(smoke_run / cell, tmp_path / cell, ignore=shutil.ignore_patterns("students", "measures.json"))
    student = cell / "students/none+weak.weak/weights.safetensors"
    done = run_snakemake(tmp_path, "--rerun-triggers", "mtime", "--", str(student), config=config)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    jobs = {folder.name: len(list(folder.rglob("*.tsv"))) for folder in (tmp_path / "results/benchmarks").iterdir()}
    assert jobs == {"store_views": 2, "train_student": 1}
    views = np.load(tmp_path / cell / "teachers/weak-1/stored_views.npy")
    assert views.shape[:2] == (2, study["distillation"]["training"])
    made = json.loads((tmp_path / cell / "students/none+weak.weak/network.json").read_text())["provenance"]["settings"]
    assert made["protocol"] == "stored"
    assert (tmp_path / student).read_bytes() != (smoke_run / student).read_bytes()
