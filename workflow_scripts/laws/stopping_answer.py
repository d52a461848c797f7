"""When to stop, in words and tables: from the moments of all runs of a study to what a person can act on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.laws.stopping import Onset, OnsetLaw, Training, fit_onsets, trainings_of

Pair = tuple[str, str]  # generator, data set
CERTAIN = 0.95  # posterior probability


@dataclass(frozen=True)
class Stop:
    """What a generator's trainings on one data set say. table: their moments, as measure_replication wrote them."""

    table: pd.DataFrame
    runs: list[Training]
    onsets: list[Onset]
    law: OnsetLaw

    @property
    def sizes(self) -> list[float]:
        return sorted({run.size for run in self.runs})

    @property
    def asked(self) -> float | None:
        """The size to speak of: the largest at which copying begins within the training, as seen and by the law. None
        without a law."""
        if self.law.reason:
            return None
        seen = {run.size for run, onset in zip(self.runs, self.onsets, strict=True) if onset.within}
        return max({size for size in seen if self.law.steps(size)[1] < self.runs[0].step[-1]} or seen)

    def quality(self, size: float, step: float) -> tuple[int, float, float] | None:
        """The last moment up to a step, the Fréchet distance there and at the end, means over seeds; None if there is
        no such moment."""
        means = self.table[self.table["size"] == size].groupby("step")["frechet"].mean()
        before = means[means.index <= step]
        return None if before.empty else (int(before.index[-1]), float(before.iloc[-1]), float(means.iloc[-1]))


def stop_all(table: pd.DataFrame, wanted: float) -> dict[Pair, Stop]:
    """The onsets and their law for each generator and data set. table: see `read_trainings`; wanted: percentage."""
    stops = {}
    for (generator, dataset), part in table.groupby(["generator", "dataset"], sort=False):
        runs = trainings_of(part)
        stops[str(generator), str(dataset)] = Stop(part, runs, *fit_onsets(runs, wanted))
    return stops


def onset_table(stops: Mapping[Pair, Stop]) -> pd.DataFrame:
    """A row for each run: between which steps copying began, and when the law expects it of another run."""
    rows = []
    for (generator, dataset), stop in stops.items():
        for run, onset in zip(stop.runs, stop.onsets, strict=True):
            low, middle, high = (np.nan,) * 3 if stop.law.reason else stop.law.steps(run.size)
            rows.append(
                {
                    "generator": generator,
                    "dataset": dataset,
                    "size": int(run.size),
                    "seed": run.seed,
                    "steps": int(run.step[-1]),
                    "after": onset.after,
                    "before": onset.before if np.isfinite(onset.before) else np.nan,
                    "expected": middle,
                    "expected_low": low,
                    "expected_high": high,
                }
            )
    return pd.DataFrame(rows)


def summarise(stops: Mapping[Pair, Stop], wanted: float) -> dict[str, Any]:
    """Strict JSON of the laws of onset."""
    laws = []
    for (generator, dataset), stop in stops.items():
        law = stop.law
        ends = [None] * 3 if law.reason else [law.exponent, *law.interval]
        laws.append(
            {"generator": generator, "dataset": dataset, "reason": law.reason}
            | dict(zip(("exponent", "low", "high"), ends, strict=True))
            | {f"weight_{account}": weight for account, weight in law.weights.items()}
        )
    return {"wanted_percentage": wanted, "laws": laws}


def answers(stops: Mapping[Pair, Stop], wanted: float) -> dict[str, list[str]]:
    """Lines for each data set: until when training is safe, what stopping costs, and how the onset moves."""
    lines: dict[str, list[str]] = {}
    for (generator, dataset), stop in stops.items():
        lines.setdefault(dataset, []).append(_sentences(generator, stop, wanted))
    return lines


def _sentences(generator: str, stop: Stop, wanted: float) -> str:
    size, law = stop.asked, stop.law
    if size is None:
        return f"Fewer steps, {generator}: no safe number of steps can be named, as {law.reason}."
    low, middle, high = law.steps(size)
    steps = int(stop.runs[0].step[-1])
    begins = (
        f"Fewer steps, {generator}: with {size:,.0f} images, more than {wanted:g} % of samples are copies beyond "
        f"chance after {middle:,.0f} of {steps:,} steps (another run: {low:,.0f} to {high:,.0f}, 95 %)."
    )
    return f"{begins} {_cost(stop, size, low)} {_movement(law)}"


def _cost(stop: Stop, size: float, step: float) -> str:
    quality = stop.quality(size, step)
    if quality is None:
        first = int(stop.runs[0].step[0])
        return f"To be safe it would have to stop before step {first:,}, the first that was looked at."
    moment, there, end = quality
    if np.isnan(there):
        return f"Stopped at step {moment:,} it is safe."
    return (
        f"Stopped at step {moment:,} it is safe, at a Fréchet distance of {there:.3g} to held-out images instead of "
        f"{end:.3g} at the end."
    )


def _movement(law: OnsetLaw) -> str:
    low, high = law.interval
    power = f"size to the power {law.exponent:.2g} (95 % interval {low:.2g} to {high:.2g})"
    if law.weights["free"] > CERTAIN:
        return f"Each size has its own onset: no power of the size fits them all ({power})."
    if low > 0 and low <= 1 <= high:
        return f"The onset moves with {power}: in proportion to the size, as theory has it, fits."
    if low > 0 or high < 0:
        return f"The onset moves with {power}, not in proportion to the size."
    if high < 1:
        return f"The onset hardly moves with the size: {power}."
    return f"Whether the onset moves with the size is open: {power}; more sizes or seeds would tell."
