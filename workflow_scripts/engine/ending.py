"""What a run of Snakemake says last: the answers that were asked for, or what failed and what to do about it.

Snakemake adds the place of its own log, and a sentence without a cause, after its hooks; so this waits for the end of
the process. Answers go to standard output, as the only thing there; failures to standard error.
"""

import atexit
import logging
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TextIO

WIDTH = 110
# As `job.run` writes them.
CAUSE = re.compile(r"^\d\d:\d\d:\d\d Error in rule \S+?: (.*)", re.DOTALL)
UNEXPECTED = re.compile(r"^\d\d:\d\d:\d\d Unexpected error in rule ")
STAMPED = re.compile(r"^\d\d:\d\d:\d\d ")

GO_ON = "run the same snakemake command again; finished jobs are kept."
# What Snakemake says when it gets SIGTERM, and SIGINT (Ctrl-C).
STOPPED = ("Will exit after finishing currently running jobs", "Terminating processes on user request")
ADVICE = {  # by the exceptions of Snakemake that come before any job
    "MissingInputException": "put the files there, or correct their path in the config (docs/data.md); then run again.",
    "LockException": "wait for the other run to end; if there is none (it was killed), run: snakemake --unlock",
}


class Ending(logging.Handler):
    """Listens to Snakemake's log, and has the last word when the process ends.

    answers: Markdown files by the target that asks for them. places: of a target that answers several questions, the
    files to look at. asked: gives the targets of this run, none if it only plans.
    """

    def __init__(
        self, answers: Mapping[str, list[str]], places: Mapping[str, list[str]], asked: Callable[[], Iterable[str]]
    ) -> None:
        super().__init__()
        self.answers, self.places, self.asked = answers, places, asked
        self.started = time.time()
        self.stopped = False  # whether Snakemake got a signal to stop
        self.jobs: dict[int, tuple[str, list[str]]] = {}  # failed ones by Snakemake's number: rule, files of its log

    def emit(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", None) or "")
        if event == "job_error":
            self.jobs[record.jobid] = (record.rule_name, list(record.log))  # type: ignore[attr-defined]
        elif event == "job_finished":  # after a retry
            self.jobs.pop(getattr(record, "job_id", -1), None)
        elif event == "error" and (advice := ADVICE.get(str(getattr(record, "exception", "")))):
            say_last(f"To do: {advice}", sys.stderr)
        elif not event and record.getMessage().startswith(STOPPED):
            self.stopped = True
        elif not event and record.getMessage().startswith("Nothing to be done"):  # then Snakemake calls no hook
            self.answer()

    def answer(self) -> None:
        """To be called after success: say what was asked for."""
        asked = list(self.asked())
        parts = [part for target in asked for path in self.answers.get(target, ()) if (part := answer(Path(path)))]
        if there := [path for target in asked for path in self.places.get(target, ()) if Path(path).exists()]:
            parts.append(f"The whole story: {', '.join(there)}")
        say_last("".join(f"\n{part}\n" for part in parts), sys.stdout)

    def explain(self) -> None:
        """To be called after a failure: say what failed, one block for each job."""
        if self.stopped:
            say_last(f"\nA signal (SIGTERM or Ctrl-C) stopped this run. To go on, {GO_ON}", sys.stderr)
        elif self.jobs:
            count = "1 job failed" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs failed"
            blocks = [failure(rule, logs, self.started) for rule, logs in self.jobs.values()]
            say_last("\n".join([f"\n{count}.", *blocks]), sys.stderr)


class Refusals(logging.Handler):
    """Says why jobs cannot be planned, which Snakemake (9.27.1) keeps to itself with `--quiet all`."""

    def emit(self, record: logging.LogRecord) -> None:
        if str(getattr(record, "event", None) or "") == "error":
            print(record.getMessage(), file=sys.stderr, flush=True)


def answer(path: Path) -> str:
    """An answer in Markdown, and where it stands; empty if there is none."""
    if not path.exists():
        return ""
    places = [str(file) for file in (path, path.with_suffix(".json")) if file.exists()]
    return f"{path.stem}:\n{path.read_text(encoding='utf-8').strip()}\n({', '.join(places)})"


def failure(rule: str, logs: Iterable[str], since: float) -> str:
    """A failed job's rule, its cause in a sentence, its log, and what to do.

    logs: its log files, of which those not written to after `since` (seconds since the epoch) are of an earlier run.
    """
    paths = [Path(path) for path in logs]
    # The log itself comes first; what else a rule names beside it lists details.
    log = next((path for path in paths if path.exists() and path.stat().st_mtime >= since - 1), None)
    cause, advice = cause_in(log.read_text("utf-8", "replace") if log else "")
    lines = {
        "cause": cause,
        "log": ", ".join(map(str, paths)) or "none; what the rule said stands above",
        "to do": advice,
    }
    indented = (
        textwrap.fill(f"{f'{name}:':7}{text}", WIDTH, initial_indent="  ", subsequent_indent=" " * 9,
                      break_long_words=False, break_on_hyphens=False)
        for name, text in lines.items()
    )  # fmt: skip
    return "\n".join([f"rule {rule}", *indented])


def cause_in(log: str) -> tuple[str, str]:
    """The cause that a job's log gives, and what to do about it."""
    lines = log.strip().splitlines()
    for start in reversed(range(len(lines))):
        if UNEXPECTED.match(lines[start]):
            return lines[-1].strip(), "this looks like a bug in Copycat: report it, with the log (CONTRIBUTING.md)."
        if CAUSE.match(lines[start]):
            end = next((i for i in range(start + 1, len(lines)) if STAMPED.match(lines[i])), len(lines))
            cause = CAUSE.match(" ".join(line.strip() for line in lines[start:end]))
            assert cause is not None
            return cause[1], f"correct that, and {GO_ON}"
    if lines and not STAMPED.match(lines[-1]):  # of another program: the image's build, Snakemake's report
        return lines[-1].strip(), f"see the log for the lines before, correct that, and {GO_ON}"
    return (
        "the job left no message: it was killed, most often because the machine ran out of memory (`dmesg` shows "
        "that), or could not start, and then a traceback stands above.",
        "if it was memory, run fewer jobs at once (--cores 1) or use a larger machine; if a module was not found, run "
        f"make install; {GO_ON}",
    )


def say_last(text: str, stream: TextIO) -> None:
    """Print `text` when this process ends, after all that Snakemake itself has to say."""
    if text:
        atexit.register(print, text.rstrip("\n"), file=stream, flush=True)
