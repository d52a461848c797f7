"""The progress of a job: a bar where standard error is a terminal, and a line a minute in its log."""

import fcntl
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from tqdm import tqdm

logger = logging.getLogger("copycat")


T = TypeVar("T", bound=Sized)


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

    def advance(self, count: int = 1) -> None:
        """Count `count` more steps."""
        self.done += count
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(count)
        elif now - self.tried >= 1.0:
            self.tried, self.bar = now, self._take_bar()
        if now - self.reported >= self.every_s or (self.done >= self.total and now - self.started >= 1.0):
            self.reported = now
            rate = (self.done - self.first) / max(now - self.started, 1e-9)
            left = (self.total - self.done) / max(rate, 1e-9)
            figures = self.label, self.done, self.total, self.unit, rate, left
            logger.info("%s %d of %d %s, %.3g a second, %.0f s left", *figures)

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
