"""`make status`: what is done, running and left, read without a lock and without a change."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, digests, snakemake_command
from workflow_scripts.engine.plan import Job
from workflow_scripts.study.status import report


def status(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.study.status"],
        cwd=ROOT, env={**os.environ, "CONFIG": "config/smoke.yaml", "FOLDER": str(folder)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_of_a_finished_study_nothing_is_left(smoke_run: Path) -> None:
    before = digests(smoke_run)
    done, nothing = status(smoke_run)
    assert done.split()[1] == done.split()[3] != "0"
    assert nothing == "nothing is left to do"
    assert digests(smoke_run) == before


def test_what_is_left_has_the_time_of_the_jobs_before(smoke_run: Path, tmp_path: Path) -> None:
    shutil.copytree(smoke_run, tmp_path / "run", symlinks=True)
    results = tmp_path / "run/results"
    shutil.rmtree(results / "figures/rebalancing")  # what is missing between is made anew only for what is asked for
    for pattern in ("report.html", "rebalancing/*.csv", "rebalancing/**/arms/repetition/predictions.npy"):
        for path in results.glob(pattern):
            path.unlink()
    lines = status(tmp_path / "run")
    assert "no run is going on in this folder" in lines
    [left] = [line for line in lines if line.startswith("left:")]
    assert "2 train_arm" in left
    [time_left] = [line for line in lines if line.startswith("time left:")]
    assert " on " in time_left


@pytest.mark.slow
def test_a_run_that_is_going_on_is_not_disturbed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        snakemake_command(tmp_path, "--quiet", "all", "--", "one_shot"),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        limit = time.monotonic() + 120
        while not (tmp_path / "results/logs/pack_images").exists() and time.monotonic() < limit:
            time.sleep(0.2)
        lines = status(tmp_path)
        assert any(line.startswith("done:") for line in lines)
        assert "no run is going on in this folder" not in lines
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def job(rule: str, needed: bool, started: bool = False) -> Job:
    return Job(rule, {"size": "8"}, (), f"{rule}.log", f"{rule}.tsv", 1, 0, needed, started, ())


def test_what_is_stale_is_told_with_its_reason_and_what_hangs_on_it(tmp_path: Path) -> None:
    def planned(rule: str, stale: str, *needs: int) -> Job:
        return Job(rule, {}, (), None, None, 1, 0, True, False, needs, stale)

    jobs = [planned("pack", "files in its folder"), planned("train", "code", 0), planned("train", "code", 0)]
    jobs += [planned("draw", "", 1), planned("compare", "", 3), planned("other", "")]
    assert report(jobs, tmp_path, 1, False, 0.0)[1:4] == [
        "stale:    2 train: changed code",
        "stale:    1 pack: changed files in its folder",
        "          and 2 jobs that read their results",
    ]


@pytest.mark.parametrize(("active", "told"), [(True, "60 s left"), (False, "some jobs were interrupted")])
def test_a_running_job_is_read_from_its_log(active: bool, told: str, tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text(
        "12:00:00 computing on the CPU\n12:01:00 training 20 of 80 steps, 0.5 a second, 120 s left g 0.1\n"
    )
    (tmp_path / "search.tsv").write_text("s\th:m:s\n7.5\t0:00:07\n")
    now = (tmp_path / "train.log").stat().st_mtime + 60
    jobs = [job("search", False), job("search", True), job("train", True, started=True), job("draw", True)]
    lines = report(jobs, tmp_path, 1, active, now)
    assert lines[0] == "done:     1 of 4 jobs"
    assert "20 of 80 steps, 0.5 a second" in lines[1]
    assert told in "\n".join(lines)
    assert "left:     2 jobs: 1 search, 1 draw" in lines
    expected = "68 s" if active else "8 s"
    assert f"time left: at least {expected} on 1 cores, by the jobs that have finished" in lines
    unknown = "1 draw" if active else "1 train, 1 draw"
    assert f"not counted in it, since no such job has run yet: {unknown}" in lines
