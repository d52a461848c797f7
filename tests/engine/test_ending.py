"""What a run says last: the answers that were asked for, or what failed, why, where its log is and what to do."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, run_snakemake
from workflow_scripts.engine.ending import cause_in, failure


@pytest.fixture
def finished(smoke_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished smoke study, that a test may change."""
    shutil.copytree(smoke_run, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def test_a_target_that_answers_a_question_ends_with_the_answer(finished: Path) -> None:
    (finished / "results/advice/fashion-mnist.md").unlink()
    done = run_snakemake(finished, "--quiet", "all", "--", "advice")
    assert done.returncode == 0, done.stderr
    answer = (finished / "results/advice/fashion-mnist.md").read_text().splitlines()
    assert 3 <= len(answer) <= 8
    assert done.stdout.split("fashion-mnist:\n")[1].splitlines()[: len(answer)] == answer
    assert done.stdout.rstrip().endswith("(results/advice/fashion-mnist.md, results/advice/fashion-mnist.json)")


def test_answers_that_are_there_are_said_again_and_only_those_asked_for(smoke_run: Path) -> None:
    done = run_snakemake(smoke_run, "one_shot", "advice")
    for target in ("one_shot", "advice"):
        answer = (smoke_run / f"results/{target}/fashion-mnist.md").read_text()
        assert 3 <= len(answer.splitlines()) <= 8
        assert answer in done.stdout
    assert "diagnosis" not in done.stdout
    planned = run_snakemake(smoke_run, "one_shot", "--dry-run", "--forcerun", "estimate_one_shot")
    assert "results/one_shot/fashion-mnist.json)" not in planned.stdout
    whole = run_snakemake(smoke_run)
    assert whole.stdout.strip() == "The whole story: results/summary.md, results/report.html"


def test_after_a_failure_the_last_lines_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/0.png").write_bytes(b"not an image")
    dataset = {"source": "imagefolder", "path": str(tmp_path / "images"), "resolution": 16}
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({"datasets": {"mine": dataset}, "similarity": {"datasets": ["mine"]}}))
    done = run_snakemake(tmp_path, "--", "advice", config=study)
    assert done.returncode != 0
    last = done.stderr.rstrip()[done.stderr.rindex("1 job failed.") :]
    words = " ".join(last.split())
    assert "rule pack_images cause: 0.png in images: not a readable image" in words
    assert "log: results/logs/pack_images/mine.log" in words
    assert words.endswith("to do: correct that, and run the same snakemake command again; finished jobs are kept.")
    shutil.rmtree(tmp_path / "images")
    missing = run_snakemake(tmp_path, "--", "advice", config=study)
    assert str(tmp_path / "images") in missing.stderr
    assert missing.stderr.rstrip().splitlines()[-1].startswith("To do: put the files there")


@pytest.mark.parametrize(
    ("log", "cause", "advice"),
    [
        ("10:00:00 Error in rule a: old\n10:00:02 Error in rule a: b: bad\n  - why\n", "b: bad - why", "correct"),
        ("10:00:00 Unexpected error in rule a; x\nTraceback\n  y\nValueError: odd\n", "ValueError: odd", "report it"),
        ("10:00:00 computing on the CPU\n", "left no message", "memory"),
        ("", "left no message", "memory"),
        ("FATAL: no such image\n", "FATAL: no such image", "see the log"),
    ],
)  # fmt: skip
def test_the_cause_is_the_last_that_a_log_names(log: str, cause: str, advice: str) -> None:
    told = cause_in(log)
    assert cause in told[0]
    assert advice in told[1]


def test_what_a_rule_lists_beside_its_log_is_no_part_of_the_cause(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("10:00:00 Error in rule a: 2 images cannot be read. All are listed\n")
    (tmp_path / "a.problems.txt").write_text("unreadable images: 2\n")
    told = failure("a", [str(tmp_path / "a.log"), str(tmp_path / "a.problems.txt")], 0.0)
    assert "cause: 2 images cannot be read. All are listed" in told
    assert "a.problems.txt" in told
    assert "unreadable images" not in told


def test_a_run_that_a_signal_stopped_says_so_and_not_that_memory_ran_out(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from workflow_scripts.engine.ending import Ending
ENDING = Ending({{}}, {{}}, lambda: [])
logger.addHandler(ENDING)
rule all:
    output: "never"
    shell: "touch begun; exec sleep 60"
onerror:
    ENDING.explain()
"""
    )
    command = [sys.executable, "-m", "snakemake", "--cores=1", "--profile=none"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "begun").exists():
        assert run.poll() is None
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGTERM)
    last = run.communicate()[1].rstrip().splitlines()[-1]
    assert last.startswith("A signal (SIGTERM or Ctrl-C) stopped this run. To go on, run the same snakemake command")


def test_a_silent_run_says_why_its_jobs_cannot_be_planned(tmp_path: Path) -> None:
    """As `make demo` and `make audit` run: Snakemake says nothing then."""
    (tmp_path / "wrong.yaml").write_text("replicatoin: {}\n")
    planned = run_snakemake(tmp_path, "--quiet", "all", config=tmp_path / "wrong.yaml")
    assert planned.returncode == 1
    assert 'did you mean "replication"?' in planned.stderr
