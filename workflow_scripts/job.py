"""What every script of the workflow shares: its log, its progress, and how it fails.

A script ends with `run(main, snakemake)`. It also runs by itself under a debugger: `snakemake --debug TARGET`.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from workflow_scripts.files import InputError

logger = logging.getLogger("copycat")


def run(main: Callable[[Any], None], snakemake: Any) -> None:
    """Run a script's `main` with its job: log lines go to the rule's log; bad input ends in one clear line."""
    path = snakemake.log[0] if len(snakemake.log) else None
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    if path:
        handlers.append(logging.FileHandler(path, mode="a", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.captureWarnings(True)
    try:
        main(snakemake)
    except InputError as error:
        logger.error("Error in rule %s: %s", snakemake.rule, error)
        sys.exit(1)
    except Exception:
        logger.exception("Unexpected error in rule %s; the lines below are for a bug report.", snakemake.rule)
        sys.exit(1)


class Progress:
    """Progress of `total` steps: a bar where standard error is a terminal, one log line a minute elsewhere."""

    def __init__(self, total: int, unit: str, done: int = 0, label: str = "", every_s: float = 60.0) -> None:
        self.total, self.unit, self.label, self.every_s = total, unit, label, every_s
        self.first = self.done = done
        self.started = self.reported = time.monotonic()
        self.bar = tqdm(total=total, initial=done, unit=f" {unit}", desc=label) if sys.stderr.isatty() else None

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more steps; `note` (for example the losses) follows the figures."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
            if note:
                self.bar.set_postfix_str(note, refresh=False)
        now = time.monotonic()
        if now - self.reported >= self.every_s or self.done >= self.total:
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


@contextmanager
def progress(total: int, unit: str, done: int = 0, label: str = "") -> Iterator[Progress]:
    """`Progress` that closes its bar on leaving."""
    reporter = Progress(total, unit, done, label)
    try:
        yield reporter
    finally:
        reporter.close()
