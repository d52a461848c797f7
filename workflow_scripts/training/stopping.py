"""Stopping a training run on a signal, or when its time is up."""

import signal
import time


class StopSignal:
    """Notes SIGTERM, SIGINT (Ctrl-C) or that the time is up, so that the loop can leave a checkpoint before it ends.

    stop_at: when the time is up, in seconds since the epoch; None: never.
    """

    def __init__(self, stop_at: float | None = None) -> None:
        self.stop_at, self._asked = stop_at, False

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self._asked = True

    @property
    def requested(self) -> bool:
        return self._asked or self._time_is_up()

    def _time_is_up(self) -> bool:
        return self.stop_at is not None and time.time() >= self.stop_at

    def message(self, step: int) -> str:
        why = "as its time was up" if not self._asked and self._time_is_up() else "when it was asked to"
        return f"stopped at step {step} {why}, after a checkpoint; run the same snakemake command again to continue"
