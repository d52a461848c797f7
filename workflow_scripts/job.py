"""What every script of the workflow shares: its log, its progress, the check of its inputs, and how it fails.

A script ends with `run(main, snakemake)`. It also runs by itself under a debugger: `snakemake --debug TARGET`.
"""

import errno
import fcntl
import gc
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn, TypeVar

from tqdm import tqdm

from workflow_scripts.files import InputError
from workflow_scripts.provenance import check_inputs, record_outputs

# What is imported after this module, which every script imports first, makes objects by the hundred thousand and no
# garbage; by default Python would look through all of them again after every 700 new ones, a tenth of a job's start.
gc.set_threshold(300_000)

logger = logging.getLogger("copycat")

T = TypeVar("T", bound=Sized)

# Where a job says how much GPU memory it takes.
GPU_MEMORY = {
    "train_generator": "raise `accumulate` or set `precision: bfloat16` (config key generators.<name>.overrides)",
    "train_class_generator": "raise `accumulate` or set `precision: bfloat16` (config key generators.<name>.overrides)",
    "train_simclr": "lower `batch` (config key spaces.<name>.overrides)",
    "train_baselines": "lower `batch` or set `precision: bfloat16` (config key rebalancing.classifier.overrides)",
    "train_arm": "lower `batch` or set `precision: bfloat16` (config key rebalancing.classifier.overrides)",
    "train_teacher": "lower `batch` or set `precision: bfloat16` (config key distillation.teacher.overrides)",
    "train_student": "lower `batch` or set `precision: bfloat16` (config key distillation.student.overrides)",
}


class Interrupted(Exception):
    """A job was asked to stop, or has no time left, and left a checkpoint."""


def run(main: Callable[[Any], None], snakemake: Any) -> None:
    """Run a script's `main` with its job: log lines go to the rule's log; bad input ends in one clear line.

    Its inputs are checked against their records before, and those of its outputs are written after.
    """
    gc.freeze()  # what the imports have left lives to the end: it need not be searched for garbage
    path = snakemake.log[0] if len(snakemake.log) else None
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    if path:
        handlers.append(logging.FileHandler(path, mode="a", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.captureWarnings(True)
    Progress.job = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    try:
        inputs = check_inputs(snakemake.input)
        began, processor = time.monotonic(), _processor_seconds()
        main(snakemake)
        seconds = {"wall": time.monotonic() - began, "processor": _processor_seconds() - processor}
        record_outputs(snakemake, inputs, seconds)
    except (InputError, Interrupted) as error:
        logger.error("Error in rule %s: %s", snakemake.rule, error)
        sys.exit(1)
    except Exception as error:
        if (advice := _known_cause(error, snakemake.rule)) is not None:
            logger.error("Error in rule %s: %s", snakemake.rule, advice)
        else:
            logger.exception("Unexpected error in rule %s; the lines below are for a bug report.", snakemake.rule)
        sys.exit(1)
    if type(snakemake).__module__.partition(".")[0] == "snakemake":  # not a stand-in: the process is the job's alone
        _end_at_once()


def _end_at_once() -> NoReturn:
    """End the process: all is written, and to take apart what PyTorch imported takes a tenth of a short job's time."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _processor_seconds() -> float:
    """Of this process, and of those that it has started and seen end."""
    return sum(os.times()[:4])


def _known_cause(error: Exception, rule: str) -> str | None:
    """What is wrong with the machine and what to do, if that is what the error says."""
    text, number = str(error), getattr(error, "errno", None)
    # safetensors and pyarrow give the system's words, but not always its number.
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text:
        free = shutil.disk_usage(".").free / 1e9
        return (
            f"the disk is full ({text}; {free:.1f} GB are free in the working directory). Nothing half-written is "
            "left. Make room and run the same snakemake command again."
        )
    if number in (errno.EROFS, errno.EACCES, errno.EPERM) or "Read-only file system" in text:
        return f"no right to write or read a file ({text}). Correct that, and run the same snakemake command again."
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch itself is not imported here
        knob = GPU_MEMORY.get(rule, "give the job a GPU of its own")
        return f"out of GPU memory ({text.splitlines()[0]}). Use a larger GPU, or {knob}."
    if isinstance(error, MemoryError):
        return (
            f"out of memory ({text.splitlines()[0] if text else 'the machine gave no more'}). Run fewer jobs at once "
            "(--resources mem_mb=...), or on a machine with more memory."
        )
    return None


class Progress:
    """Progress of `total` steps: a bar where standard error is a terminal, and a line a minute in the log.

    Several jobs may write to one terminal: one of them at a time has the bar, and the next takes it when that one has
    ended. A count within a count has none. What is over in a second leaves no line.
    """

    job: ClassVar[str] = ""  # whose bar it is
    _open: ClassVar[int] = 0  # counts of this process

    def __init__(self, total: int, unit: str, done: int = 0, label: str = "", every_s: float = 60.0) -> None:
        self.total, self.unit, self.label, self.every_s = total, unit, label, every_s
        self.first = self.done = done
        self.started = self.reported = self.tried = time.monotonic()
        self.outermost = not Progress._open
        Progress._open += 1
        self.bar = self._take_bar()

    def _take_bar(self) -> tqdm | None:
        """The bar, if standard error is a terminal on which no other job has one."""
        if not (self.outermost and sys.stderr.isatty()):
            return None
        try:
            # A lock of this process on the terminal itself: the system gives it back however the process ends.
            fcntl.lockf(sys.stderr, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        name = " ".join(part for part in (self.job, self.label) if part)
        return tqdm(
            total=self.total, initial=self.done, unit=f" {self.unit}", desc=name, leave=False, dynamic_ncols=True
        )

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more steps; `note` (for example the losses) follows the figures."""
        self.done += count
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(count)
            if note:
                self.bar.set_postfix_str(note, refresh=False)
        elif now - self.tried >= 1.0:
            self.tried, self.bar = now, self._take_bar()
        if now - self.reported >= self.every_s or (self.done >= self.total and now - self.started >= 1.0):
            self.reported = now
            rate = (self.done - self.first) / max(now - self.started, 1e-9)
            left = (self.total - self.done) / max(rate, 1e-9)
            logger.info(
                "%s %d of %d %s, %.3g a second, %.0f s left %s",
                self.label, self.done, self.total, self.unit, rate, left, note,
            )  # fmt: skip

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            fcntl.lockf(sys.stderr, fcntl.LOCK_UN)
        Progress._open -= 1


@contextmanager
def progress(total: int, unit: str, done: int = 0, label: str = "") -> Iterator[Progress]:
    """`Progress` that closes its bar on leaving."""
    reporter = Progress(total, unit, done, label)
    try:
        yield reporter
    finally:
        reporter.close()


def tracked(parts: Iterable[T], total: int, unit: str, label: str) -> Iterator[T]:
    """The parts one by one, with `progress` by their lengths, which sum to `total`."""
    with progress(total, unit, label=label) as bar:
        for part in parts:
            yield part
            bar.advance(len(part))
