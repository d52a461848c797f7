"""`make status`: what of a study is done, stale, running and left, and how long it will still take.

Reads the plan, the run times of finished jobs and the logs of running ones; takes no lock and changes nothing.
"""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from workflow_scripts.config.validation import read_config
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.words import duration
from workflow_scripts.engine.plan import Job, plan
from workflow_scripts.study.past import expected, taken
from workflow_scripts.study.schedule import schedule

# As `job.Progress` writes it.
LEFT = re.compile(r"(\d+) of (\d+) (\w+), (\S+) a second, (\d+) s left")
NAMED = 6  # rules that are listed by name
MOST_STALE = 12  # rules and reasons that are listed


@dataclass(frozen=True)
class Running:
    """A job that has begun. said: its last line on progress; left: seconds, None if nothing is known."""

    job: Job
    said: str
    left: float | None


def look_at(job: Job, folder: Path, known: dict[tuple[str, ...], list[float]], now: float) -> Running:
    """A running job, by its log: the last line of progress, less the time since."""
    log = folder / job.log if job.log else None
    if log is not None and log.exists():
        lines = LEFT.findall(log.read_text(encoding="utf-8", errors="replace"))
        if lines:
            done, total, unit, rate, left = lines[-1]
            since = now - log.stat().st_mtime
            return Running(job, f"{done} of {total} {unit}, {rate} a second", max(0.0, float(left) - since))
    usual = expected(job, known)
    begun = log.stat().st_mtime if log is not None and log.exists() else now
    return Running(job, "", None if usual is None else max(0.0, usual - (now - begun)))


def is_going_on(folder: Path) -> bool:
    """Whether another process runs Snakemake in the folder."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command, place = process.info["cmdline"] or (), process.info["cwd"]
        is_snakemake = "snakemake" in [Path(word).name for word in command][:3]
        if is_snakemake and place and Path(place) == folder.resolve() and process.pid != os.getpid():
            return True
    return False


def report(jobs: Sequence[Job], folder: Path, cores: int, active: bool, now: float) -> list[str]:
    """What a person is told, line by line."""
    known = taken(jobs, folder)
    left = [i for i, job in enumerate(jobs) if job.needed]
    running = {i: look_at(jobs[i], folder, known, now) for i in left if jobs[i].started}
    done = len(jobs) - len(left)
    lines = [f"done:     {done} of {len(jobs)} jobs"]
    if not left:
        return [*lines, "nothing is left to do"]
    lines += stale_lines(jobs)
    word = "running: " if active else "stopped: "
    for state in running.values():
        told = [state.said, f"{duration(state.left)} left" if state.left is not None and active else ""]
        lines.append(f"{word} {describe(state.job)}" + "".join(f", {part}" for part in told if part))
    if not active:
        lines.append("no run is going on in this folder" + (": some jobs were interrupted" if running else ""))
    waiting = Counter(jobs[i].rule for i in left if i not in running)
    lines.append(f"left:     {sum(waiting.values())} jobs: {most_of(waiting)}")
    seconds, unknown = {}, Counter[str]()
    for i in left:
        usual = running[i].left if i in running and active else expected(jobs[i], known)
        if usual is None:
            unknown[jobs[i].rule] += 1
        seconds[i] = usual or 0.0
    total, _ = schedule(jobs, seconds, cores)
    if len(unknown) and sum(unknown.values()) == len(left):
        lines.append("time left: not known before jobs have finished; `make estimate` tells it before a run")
    else:
        least = "at least " if unknown else "about "
        lines.append(f"time left: {least}{duration(total)} on {cores} cores, by the jobs that have finished")
        if unknown:
            lines.append(f"not counted in it, since no such job has run yet: {most_of(unknown)}")
    return lines


def stale_lines(jobs: Sequence[Job]) -> list[str]:
    """Which results are of an earlier state of code, settings or files, what has changed, and what hangs on them."""
    stale = [i for i, job in enumerate(jobs) if job.stale]
    if not stale:
        return []
    reasons = Counter((jobs[i].rule, jobs[i].stale) for i in stale)
    named = [f"stale:    {count} {rule}: changed {reason}" for (rule, reason), count in reasons.most_common(MOST_STALE)]
    others = len(stale) - sum(count for _, count in reasons.most_common(MOST_STALE))
    hanging = set(stale)
    while more := {i for i, job in enumerate(jobs) if i not in hanging and hanging.intersection(job.needs)}:
        hanging |= more
    renewed = sum(jobs[i].needed for i in hanging) - len(stale)
    return [
        *named,
        *([f"stale:    {others} jobs of other rules or reasons"] if others else []),
        *([f"          and {renewed} jobs that read their results"] if renewed else []),
    ]


def most_of(rules: Counter[str]) -> str:
    """The most frequent rules with their counts."""
    named = [f"{count} {rule}" for rule, count in rules.most_common(NAMED)]
    others = sum(rules.values()) - sum(count for _, count in rules.most_common(NAMED))
    return ", ".join([*named, *([f"{others} of other rules"] if others else [])]) or "none"


def describe(job: Job) -> str:
    return " ".join([job.rule, *job.wildcards.values()])


def main() -> None:
    config = os.environ.get("CONFIG", "")
    folder = Path(os.environ.get("FOLDER") or ".")
    cores = len(os.sched_getaffinity(0))
    try:
        if config:
            read_config(Path(config))
        if not folder.is_dir():
            raise InputError(f"FOLDER: there is no folder {folder}")
        jobs = plan(Path(config) if config else None, [], folder, cores)
    except InputError as error:
        sys.exit(f"make status: {error}")
    print("\n".join(report(jobs, folder, cores, is_going_on(folder), time.time())))


if __name__ == "__main__":
    main()
