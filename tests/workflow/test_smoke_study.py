"""The real workflow on the smoke study: complete, quiet when nothing changed, and in parts."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT, SMOKE, replication_study, run_snakemake, snakemake_command
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.gpus import visible_devices
from workflow_scripts.core.provenance import record_of
from workflow_scripts.engine.plan import plan


def test_every_artifact_of_the_study_is_made(smoke_run: Path) -> None:
    results = smoke_run / "results"
    jobs = plan(SMOKE, [], smoke_run, 2)
    assert len(jobs) > 60
    assert [job.rule for job in jobs if job.needed] == []  # a second run has nothing to do
    assert [output for job in jobs for output in job.output if not (smoke_run / output).exists()] == []
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
    assert "Will a generator copy my images?" in (results / "report.html").read_text()
    report = (results / "workflow_report.html").read_text()
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
    if not visible_devices(os.environ):
        for log in (smoke_run / "results/logs/train_generator").rglob("*.log"):
            assert "computing on the CPU with 1 thread(s)" in log.read_text()


def test_no_log_shows_a_warning_of_a_library(smoke_run: Path) -> None:
    """But that of Snakemake's own report, where Snakemake warns of itself."""
    logs = [path for path in (smoke_run / "results/logs").rglob("*.log") if path.stem != "write_workflow_report"]
    said = {path: path.read_text() for path in logs}
    assert [path.name for path, text in said.items() if re.search(r"\w+Warning:", text)] == []


def test_jobs_import_no_more_than_they_need(smoke_run: Path) -> None:
    """Each start of torch, pandas or matplotlib takes longer than the work of most jobs."""
    records = [json.loads(path.read_text()) for path in (smoke_run / "results/provenance").rglob("*.json")]
    assert all(record["seconds"]["wall"] >= 0 for record in records)
    imported = {record["rule"]: set(record["versions"]) for record in records}
    on_devices = {record["rule"] for record in records if "gpu" in record["resources"]}
    drawing = {record["rule"] for record in records if record["artifact"].endswith((".svg", ".html"))}
    assert {rule for rule, packages in imported.items() if "torch" in packages} <= on_devices | {"diagnose"}
    assert {rule for rule, packages in imported.items() if "matplotlib" in packages} <= drawing
    assert not {rule for rule in imported if rule.startswith("train_") and imported[rule] & {"pandas", "scipy"}}


def test_what_is_added_to_a_study_is_all_that_is_trained(smoke_run: Path, tmp_path: Path) -> None:
    study = yaml.safe_load(SMOKE.read_text())
    study["datasets"]["other"] = study["datasets"]["fashion-mnist"]
    study["replication"]["datasets"] = {"fashion-mnist": {"sizes": [12, 24, 36]}, "other": {"sizes": [12]}}
    study["replication"]["seeds"] = [0, 1]
    study["replication"]["thresholds"].append({"rms": 0.1})
    study["similarity"]["datasets"].append("other")
    study["rebalancing"]["seeds"] = [0, 1]
    study["distillation"] |= {"ensembles": [["none", "weak"], ["none", "none"]], "seeds": [0, 1]}
    study["distillation"]["attention"] = {"threshold": 0.5}
    config = tmp_path / "larger.yaml"
    config.write_text(yaml.safe_dump(study))
    costly = ("pack_images", "measure_similarity", "draw_", "train_")
    jobs = [job for job in plan(config, [], smoke_run, 2) if job.needed and job.rule.startswith(costly)]
    assert {job.rule for job in jobs} >= {"train_generator", "train_student", "train_teacher", "measure_similarity"}
    repeated = {job.rule for job in jobs if (smoke_run / job.output[0]).exists()}
    assert repeated == set()


def test_a_checkout_at_another_place_has_nothing_to_do(smoke_run: Path, tmp_path: Path) -> None:
    """Nothing that is remembered of a job names the place of the repository."""
    moved = tmp_path / "moved"
    moved.symlink_to(ROOT)
    command = [
        str(moved / "Snakefile") if word == str(ROOT / "Snakefile") else word
        for word in snakemake_command(smoke_run, "-n")
    ]
    assert str(moved / "Snakefile") in command
    planned = subprocess.run(command, capture_output=True, text=True)
    assert "Nothing to be done" in planned.stdout + planned.stderr


def test_a_wrong_config_stops_before_the_first_job(tmp_path: Path) -> None:
    study = yaml.safe_load(SMOKE.read_text())
    study["replication"]["sampels"] = 5
    study["complexity"] = {"resamples": -1}
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(study))
    done = run_snakemake(tmp_path, config=wrong)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "replication.sampels" in output
    assert "samples" in output
    assert "complexity.resamples" in output
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("missing", "changes"),
    [
        ("/nowhere/net.pth", {"spaces": {"net": {"kind": "torchvision", "model": "resnet18"}}}),
        ("/nowhere/a.npz", {"datasets": {"mine": {"source": "npz", "images_key": "images"}}}),
        ("/nowhere/images", {"datasets": {"mine": {"source": "imagefolder"}}}),
        ("/nowhere/sets", {"datasets": {"mine": {"source": "torchvision", "name": "SVHN", "download": False}}}),
    ],
    ids=["weights", "archive", "folder", "downloaded sets"],
)
def test_what_is_not_there_is_named_before_the_first_job(missing: str, changes: dict, tmp_path: Path) -> None:
    study = replication_study()
    study["datasets"] = {"mine": {"source": "shipped", "name": "fashion-mnist-test", "resolution": 16}}
    study["replication"] |= {"datasets": {"mine": {"sizes": [12]}}, "thresholds": [{"calibrated": 0.05}]}
    for section, entries in changes.items():
        [(name, entry)] = entries.items()
        key = {"torchvision": "root"}.get(entry.get("source"), "weights" if section == "spaces" else "path")
        study[section] = {name: {"resolution": 16, **entry, key: missing}}
    study["replication"]["spaces"] = ["pixel", *("net" for name in study["spaces"] if name == "net")]
    study["datasets"]["mine"]["held_out"] = 100
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    with pytest.raises(InputError, match=rf"Missing input files(.|\n)*{missing}"):
        plan(config, [], tmp_path, 2)


def test_an_own_folder_of_images_is_packed(tmp_path: Path) -> None:
    """The README's way, with a path that has spaces and an umlaut."""
    folder = tmp_path / "Bilder für Tests"
    random = np.random.default_rng(0)
    for name in ("cats/1.png", "cats/2.jpg", "cats/3.png", "dogs/1.webp", "dogs/2.png", "dogs/3.PNG"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(folder / name)
    (folder / "dogs/2.png").write_bytes((folder / "cats/1.png").read_bytes())
    study = replication_study()
    study["datasets"] = {"mine": {"source": "imagefolder", "path": str(folder), "resolution": 16, "held_out": 0}}
    study["replication"] |= {"datasets": {"mine": {"sizes": [6]}}, "thresholds": [{"rms": 0.1}], "spaces": ["pixel"]}
    study["complexity"]["neighbours"] = [3, 4]
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump(study))
    done = run_snakemake(tmp_path, "--", "results/subsets/mine/seed-0/order.npy", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "results/benchmarks").iterdir()} == {"pack_images", "draw_subsets"}
    manifest = json.loads((tmp_path / "results/data/mine/manifest.json").read_text())
    assert (manifest["count"], manifest["classes"]) == (6, ["cats", "dogs"])
    assert manifest["duplicates"] == {"images": 1, "groups": [[0, 4]]}


@pytest.mark.slow
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
        made_before = sorted((smoke_run / "results" / folder).glob(pattern))
        wanted.append(next(path for path in made_before if "simclr" in path.parts).relative_to(smoke_run))
    done = run_snakemake(tmp_path, "--rerun-triggers", "mtime", "--", *map(str, wanted), config=config)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    searched = 3 * len(study["replication"]["spaces"])
    jobs = {"search_shard": searched, "search_control_shard": searched, "extract_feature_shard": 3}
    for rule, count in jobs.items():
        assert len(list((tmp_path / "results/benchmarks" / rule).rglob("*.tsv"))) == count
    for path in wanted:
        assert (tmp_path / path).read_bytes() == (smoke_run / path).read_bytes()
    left = {path.relative_to(tmp_path / "results").parts[0] for path in tmp_path.rglob("shard-*")}
    assert left == {"provenance", "logs", "benchmarks"}  # what they were; they themselves are gone


@pytest.mark.slow
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
    made = json.loads(record_of(tmp_path / student).read_text())
    assert made["params"]["teaching"]["protocol"] == "stored"
    assert (tmp_path / student).read_bytes() != (smoke_run / student).read_bytes()


@pytest.mark.slow
def test_one_core_gives_the_same_bytes(smoke_run: Path, tmp_path: Path) -> None:
    """The rules that use two threads where there are two cores."""
    shutil.copytree(smoke_run, tmp_path, dirs_exist_ok=True)
    wanted = {
        "pack_images": "results/data/fashion-mnist/images.npy",
        "estimate_curve": "results/complexity/fashion-mnist/curve.json",
        "measure_similarity": "results/similarity/fashion-mnist.json",
        "choose_groups": "results/rebalancing/fashion-mnist/groups.json",
    }
    done = run_snakemake(tmp_path, "--cores=1", "--forcerun", *wanted, "--", *wanted.values())
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for rule, path in wanted.items():
        threads = [json.loads(record_of(run / path).read_text())["threads"] for run in (tmp_path, smoke_run)]
        assert threads == [1, 2], rule
        assert (tmp_path / path).read_bytes() == (smoke_run / path).read_bytes(), rule


def test_every_job_keeps_within_the_memory_that_it_states(smoke_run: Path) -> None:
    stated: dict[str, int] = {}
    for path in (smoke_run / "results/provenance").rglob("*.json"):
        record = json.loads(path.read_text())
        stated[record["rule"]] = record["resources"].get("mem_mb", 0)
    measured = list((smoke_run / "results/benchmarks").rglob("*.tsv"))
    assert len(measured) > 50
    for path in measured:
        rule = path.relative_to(smoke_run / "results/benchmarks").parts[0].removesuffix(".tsv")
        used = pd.read_csv(path, sep="\t")["max_rss"]
        assert used.isna().all() or used.max() < stated[rule], path
