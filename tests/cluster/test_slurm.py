"""Real jobs on a real SLURM, through profiles/slurm: one node with two GPUs, as .ci/start-slurm makes it."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, assert_same_artifacts, cluster_command, need_slurm

pytestmark = pytest.mark.cluster

JOBS = """
rule all:
    input: "results/gpu-0.json", "results/gpu-1.json", "results/memory", "results/doomed"

rule see_gpu:
    output: "results/gpu-{i}.json"
    resources: gpu=1, mem_mb=300, runtime=5
    script: "see_gpu.py"

# By this name: what profiles/slurm gives it is what a job of the workflow gets.
rule train_generator:
    output: "results/memory"
    resources: mem_mb=1, attempt=lambda wildcards, attempt: attempt, runtime=5
    shell: "test {resources.attempt} = 2 && echo {resources.mem_mb} > {output}"

rule doomed:
    output: "results/doomed"
    retries: 0
    resources: mem_mb=300, runtime=5
    shell: "sleep 300; touch {output}"
"""
# An accounting database that refuses to say anything six times, once more than the plugin asks by itself.
SACCT = """#!/bin/sh
case "$*" in *"--clusters all"*) ;; *) exit 1 ;; esac
echo asked >> "$ASKED"
if [ "$(wc -l < "$ASKED")" -le 6 ]; then exit 1; fi
for name; do :; done
exec squeue --states=all --noheader --format='%i|%T' --name "$name"
"""
SEE_GPU = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from workflow_scripts.core.files import write_json
from workflow_scripts.core.gpus import take_devices
write_json(snakemake.output[0], {{"given": os.environ["CUDA_VISIBLE_DEVICES"], "taken": take_devices(1)}})
"""


@pytest.fixture(scope="module", autouse=True)
def _slurm() -> None:
    need_slurm()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(cluster_command(folder, *arguments), capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def on_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the smoke study, every job but the light ones as a job of the cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    done = run(folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    assert "has been submitted with SLURM jobid" in done.stdout + done.stderr
    (folder / "said").write_text(done.stdout + done.stderr)
    return folder


def test_small_jobs_are_grouped_and_light_ones_stay_here(on_cluster: Path) -> None:
    submitted = set(re.findall(r"SLURM jobid \d+ \(log: \S*slurm_logs/(\w+)", (on_cluster / "said").read_text()))
    assert any(name.startswith("group_laws") for name in submitted)
    assert "rule_train_generator" in submitted
    assert not any(any(light in name for light in ("save_config", "report")) for name in submitted)


def test_a_second_run_makes_only_what_is_missing(on_cluster: Path) -> None:
    plan = run(on_cluster, "--dry-run")
    assert "Nothing to be done" in plan.stdout + plan.stderr
    lost = next((on_cluster / "results/figures/quality").glob("*.svg"))
    before = {path: path.stat().st_mtime_ns for path in (on_cluster / "results").rglob("*.parquet")}
    lost.unlink()
    done = run(on_cluster, "--", str(lost.relative_to(on_cluster)))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert re.findall(r"^\s*rule (\w+):", done.stdout + done.stderr, re.MULTILINE) == ["plot_measures"]
    assert lost.exists()
    assert before == {path: path.stat().st_mtime_ns for path in (on_cluster / "results").rglob("*.parquet")}


def test_gpus_retries_and_a_cancelled_job(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(JOBS)
    (tmp_path / "see_gpu.py").write_text(SEE_GPU)
    words = cluster_command(tmp_path, config=None, snakefile=tmp_path / "Snakefile")
    log = tmp_path / "snakemake.log"
    with open(log, "w") as handle:
        process = subprocess.Popen(words, cwd=ROOT, stdout=handle, stderr=subprocess.STDOUT)
    cancelled = ""
    while process.poll() is None:
        job = re.search(r"SLURM jobid (\d+) \(log: \S*rule_doomed", log.read_text())
        if job and not cancelled and _state(job[1]) == "RUNNING":
            cancelled = job[1]
            subprocess.run(["scancel", cancelled], check=True)
        time.sleep(0.5)
    said = log.read_text()
    assert cancelled, said[-4000:]

    seen = [json.loads((tmp_path / f"results/gpu-{i}.json").read_text()) for i in range(2)]
    for task in seen:
        assert task["given"] in ("0", "1")
        assert task["taken"] == [task["given"]]

    assert (tmp_path / "results/memory").read_text().split() == ["8000"]  # the second attempt has twice 4000
    assert len(re.findall(r"SLURM jobid \d+ \(log: \S*rule_train_generator", said)) == 2

    assert process.returncode != 0
    assert re.search(r"Error in rule doomed:", said)
    assert f"SLURM-job '{cancelled}' failed" in said
    assert "CANCELLED" in said
    assert not (tmp_path / "results/doomed").exists()


def test_a_database_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text('rule all:\n    output: "done"\n    shell: "touch {output}"\n')
    (tmp_path / "sacct").write_text(SACCT)
    (tmp_path / "sacct").chmod(0o755)
    asked = tmp_path / "asked"
    words = cluster_command(tmp_path, config=None, snakefile=tmp_path / "Snakefile")
    done = subprocess.run(
        [*words, "--slurm-status-command=sacct", "--max-status-checks-per-second=2"],
        capture_output=True, text=True, cwd=ROOT, timeout=300,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(asked)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert len(asked.read_text().split()) >= 7
    assert (tmp_path / "done").exists()


def test_results_of_the_cluster_equal_those_of_this_machine(on_cluster: Path, smoke_run: Path) -> None:
    assert_same_artifacts(on_cluster, smoke_run)


def _state(job: str) -> str:
    done = subprocess.run(["squeue", "--noheader", "--format=%T", f"--jobs={job}"], capture_output=True, text=True)
    return done.stdout.strip()
