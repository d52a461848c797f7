"""What the finished jobs of a study took, by which the others are expected to take their time."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports Snakemake
    from workflow_scripts.engine.plan import Job

# What names the kind of work within a rule, so that a rate of one is not taken for another.
KINDS = ("generator", "space")


def taken(jobs: "Iterable[Job]", folder: Path) -> dict[tuple[str, ...], list[float]]:
    """Seconds that finished jobs took, by rule and by rule and kind of work."""
    seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for job in jobs:
        if job.needed or job.benchmark is None or not (folder / job.benchmark).exists():
            continue
        with open(folder / job.benchmark, encoding="utf-8") as handle:
            row = next(csv.DictReader(handle, delimiter="\t"), None)
        if row is not None:
            for key in {kind_of(job), kind_of(job)[:1]}:
                seconds[key].append(float(row["s"]))
    return seconds


def kind_of(job: "Job") -> tuple[str, ...]:
    return (job.rule, *(job.wildcards[name] for name in KINDS if name in job.wildcards))


def expected(job: "Job", known: dict[tuple[str, ...], list[float]]) -> float | None:
    """Mean seconds of finished jobs of this kind, or else of this rule; None if there are none."""
    seconds = known.get(kind_of(job)) or known.get(kind_of(job)[:1])
    return sum(seconds) / len(seconds) if seconds else None
