"""A run says how many jobs are left, and how long they will take."""

import io
import logging

import pytest

from workflow_scripts.engine import pace
from workflow_scripts.engine.pace import Pace, measured


def record(**fields: object) -> logging.LogRecord:
    return logging.makeLogRecord(fields)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def run_job(run: Pace, clock: list[float], number: int, rule: str, seconds: float) -> None:
    run.emit(record(event="job_info", jobid=number, rule_name=rule))
    clock[0] += seconds
    run.emit(record(event="job_finished", job_id=number))


def test_without_records_only_jobs_are_counted(clock: list[float]) -> None:
    run = Pace({"train": 3, "plot": 1}, 2, {})
    assert run.line() == "0 of 4 jobs done"
    run_job(run, clock, 1, "train", 100.0)
    assert run.line() == "1 of 4 jobs done, about 2 min left"


def test_a_known_study_tells_its_time_from_the_first_line_on(clock: list[float]) -> None:
    run = Pace({"train": 10, "plot": 10}, 2, {"train": 100.0, "plot": 10.0})
    assert run.line() == "0 of 20 jobs done, about 9 min left"


def test_a_slow_machine_takes_as_much_longer_for_the_jobs_that_it_has_not_tried(clock: list[float]) -> None:
    run = Pace({"train": 1, "plot": 10}, 1, {"train": 99.0, "plot": 10.0})
    run_job(run, clock, 1, "train", 199.0)
    assert run.seconds_left() == pytest.approx(200.0)


def test_what_runs_is_named_and_its_time_counts(clock: list[float]) -> None:
    run = Pace({"train": 2}, 1, {"train": 100.0})
    run.emit(record(event="job_info", jobid=1, rule_name="train"))
    clock[0] += 50.0
    assert run.line() == "0 of 2 jobs done, about 2 min left; now: 1 train"
    assert run.seconds_left() == pytest.approx(150.0)


def test_lines_come_until_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "EVERY", 0.01)
    stream = io.StringIO()
    run = Pace({"train": 1}, 1, {}, stream)
    run.start()
    run.ended.wait(0.2)
    run.stop()
    assert len(stream.getvalue().splitlines()) > 1


def test_records_of_a_run_are_means_by_rule(tmp_path) -> None:
    for name, seconds in (("train/a/1", 2), ("train/b", 4), ("plot", 1)):
        path = tmp_path / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:0{seconds}\n")
    assert measured(tmp_path) == {"plot": 1.0, "train": 3.0}
