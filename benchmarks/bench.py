"""What every benchmark is given: the device, how much to measure, until when; and how a row of its table is made.

A row that fails or for which no time is left says so in its place, and the next one is measured.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Any, TypeVar

import torch

from benchmarks.ceiling import Ceiling, measure_ceiling

T = TypeVar("T")


class TimeIsUp(BaseException):
    """The time of the whole run is over. Not an Exception, so that nothing that is measured takes it for its own."""


@dataclass(frozen=True)
class Bench:
    """device: where ours computes, and its peers that can. small: a trial of the script itself, whose numbers mean
    nothing. until: when to stop, on the clock of time.monotonic(). clock: what seconds are; time.process_time counts
    those of processors, which other work on a machine hardly changes.
    """

    device: torch.device
    small: bool
    until: float
    clock: Callable[[], float] = time.perf_counter

    def size(self, whole: T, small: T) -> T:
        return small if self.small else whole

    @cached_property
    def ceiling(self) -> Ceiling:
        return measure_ceiling(self.device, self.size(4096 if self.device.type == "cpu" else 8192, 512))

    def seconds(self, work: Callable[[], Any]) -> float:
        """How long `work` takes, its computation on a GPU included."""
        return self.timed(work)[0]

    def timed(self, work: Callable[[], T]) -> tuple[float, T]:
        self.wait()
        began = self.clock()
        result = work()
        self.wait()
        return self.clock() - began, result

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def rows(self, works: Mapping[str, Callable[[], list[str] | str]], columns: int) -> str:
        """The rows of a table of so many columns: those that each work gives, or why it gives none."""
        lines: list[str] = []
        for name, work in works.items():
            result = self.attempt(name, work)
            filler = " |" * (columns - 2)
            lines += result if isinstance(result, list) else [f"| {name} | {result} |{filler}"]
        return "\n".join(lines)

    def attempt(self, name: str, work: Callable[[], list[str] | str]) -> list[str] | str:
        """What `work` gives, as lines; or why it could not, as text."""
        began = time.monotonic()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        why = "no time was left"
        try:
            with _limit(self.until - began):
                result = work()
            print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            return [result] if isinstance(result, str) else result
        except TimeIsUp:
            pass
        except Exception as error:
            why = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}".replace("|", "/")
        print(why, file=sys.stderr, flush=True)
        return why


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise TimeIsUp

    if seconds <= 0:
        raise TimeIsUp
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
