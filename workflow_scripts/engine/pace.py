"""What a run says of itself while it goes on: jobs done and left, and the time left, from its first minute on.

It listens to Snakemake's log and counts; nothing is planned or read again, so that it costs nothing.
`python -m workflow_scripts.engine.pace results > resources/default_study.json` keeps what its jobs take.
"""

import csv
import json
import logging
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from workflow_scripts.core.words import duration

EVERY = 30.0  # seconds between two lines
NAMED = 2  # rules under way that a line names


class Pace(logging.Handler):
    """A line every half a minute. waiting: jobs to be done, by rule; cores: that they share.

    usual: seconds that a job of each rule takes where the study is known, on the machine of those who measured it; this
    machine's own jobs then say how much faster or slower it is. Without it no time is told before jobs have finished.
    """

    def __init__(
        self, waiting: Mapping[str, int], cores: int, usual: Mapping[str, float], stream: TextIO = sys.stderr
    ) -> None:
        super().__init__()
        self.waiting, self.total = Counter(waiting), sum(waiting.values())
        self.cores, self.usual, self.stream = max(cores, 1), usual, stream
        self.running: dict[int, tuple[str, float]] = {}  # rule and start by Snakemake's number of the job
        self.took: dict[str, list[float]] = defaultdict(list)
        self.ended = threading.Event()

    def start(self) -> None:
        """Say the plan, and go on saying what is left until `stop`."""
        self.say()
        threading.Thread(target=self._repeat, daemon=True).start()

    def stop(self) -> None:
        self.ended.set()

    def emit(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", None) or "")
        if event == "job_info":
            self.running[record.jobid] = (record.rule_name, time.monotonic())  # type: ignore[attr-defined]
        elif event == "job_finished" and (job := self.running.pop(getattr(record, "job_id", -1), None)):
            self.took[job[0]].append(time.monotonic() - job[1])
            self.waiting[job[0]] -= 1
        elif event == "job_error":
            self.running.pop(getattr(record, "jobid", -1), None)

    def line(self) -> str:
        """Jobs done and left, the time left, and what is under way."""
        left = sum(self.waiting.values())
        seconds = self.seconds_left()
        told = "" if seconds is None else f", about {duration(seconds)} left"
        rules = Counter(rule for rule, _ in list(self.running.values()))
        now = ", ".join(f"{count} {rule}" for rule, count in rules.most_common(NAMED))
        return f"{self.total - left} of {self.total} jobs done{told}" + (f"; now: {now}" if now else "")

    def seconds_left(self) -> float | None:
        """None where less than half of the jobs that are left are of a kind whose time is known."""
        known = dict(self.took)
        means = {rule: sum(times) / len(times) for rule, times in known.items()}
        expected = sum(len(times) * self.usual.get(rule, 0.0) for rule, times in known.items())
        measured = sum(sum(times) for rule, times in known.items() if rule in self.usual)
        speed = (measured + 1.0) / (expected + 1.0)
        left, total, unknown = 0, 0.0, 0
        for rule, count in list(self.waiting.items()):
            seconds = means.get(rule, speed * self.usual[rule] if rule in self.usual else None)
            left += count
            unknown += count if seconds is None else 0
            total += count * (seconds or 0.0)
        if 2 * unknown > left:
            return None
        now = time.monotonic()
        gone = sum(now - start for _, start in list(self.running.values()))
        return max((total - gone) / self.cores, 1.0)

    def say(self) -> None:
        print(self.line(), file=self.stream, flush=True)

    def _repeat(self) -> None:
        while not self.ended.wait(EVERY):
            self.say()


def measured(results: Path) -> dict[str, float]:
    """Mean seconds of the jobs of each rule in a folder of results, by their benchmarks."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        with open(path, encoding="utf-8") as handle:
            rows = csv.DictReader(handle, delimiter="\t")
            seconds[path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")] += [
                float(row["s"]) for row in rows
            ]
    return {rule: round(sum(times) / len(times), 1) for rule, times in seconds.items()}


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1])), indent=2))
