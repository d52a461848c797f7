"""Progress and the last words of a run."""

import logging
import os
import pty
import subprocess
import sys
import termios
import time

import pytest

from tests.conftest import ROOT
from workflow_scripts.core.progress import Progress, tracked

COUNTING = """
import sys, time
from workflow_scripts.core.progress import Progress, progress
Progress.job = sys.argv[1]
with progress(30, "steps", label="training") as bar:
    for _ in range(30):
        with progress(2, "images") as inner:  # as the samples drawn during a training
            inner.advance(2)
        bar.advance()
        time.sleep(float(sys.argv[2]))
"""


def test_of_several_jobs_on_a_terminal_one_at_a_time_has_a_bar() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [sys.executable, "-c", COUNTING]
    jobs = [subprocess.Popen([*command, "first", "0.02"], cwd=ROOT, stderr=theirs)]
    shown = os.read(ours, 4096)
    jobs.append(subprocess.Popen([*command, "second", "0.06"], cwd=ROOT, stderr=theirs))
    os.close(theirs)
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how the end of a terminal shows on Linux
        pass
    assert [job.wait() for job in jobs] == [0, 0]
    text = shown.decode()
    assert text.count("training") > 2
    assert text.rindex("first training") < text.index("second training")  # which takes over when the first has ended
    assert " images" not in text


def test_a_log_has_a_line_a_minute_with_rate_and_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "copycat")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bar = Progress(100, "steps", label="training")
    for _ in range(100):
        now[0] += 2.0
        bar.advance()
    bar.close()
    lines = [record.getMessage().strip() for record in caplog.records]
    assert lines == [
        "training 30 of 100 steps, 0.5 a second, 140 s left",
        "training 60 of 100 steps, 0.5 a second, 80 s left",
        "training 90 of 100 steps, 0.5 a second, 20 s left",
        "training 100 of 100 steps, 0.5 a second, 0 s left",
    ]


def test_what_is_over_in_a_second_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "copycat")
    assert [len(part) for part in tracked(["abc", "d"], 4, "images", "sampling")] == [3, 1]
    assert not caplog.records
