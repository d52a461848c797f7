"""Simulations that keep the product's statistics honest: does a 95 % interval hold the truth in 95 % of studies?

Each file of this folder is a room of the code and has a list `SIMULATIONS`. `python -m tests.coverage` runs them.
"""

import multiprocessing
import os
import textwrap
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.stats import binom

from workflow_scripts.core.intervals import wilson

COVERAGE = (0.93, 0.97)  # of a nominal 95 % interval
FALSE_ALARMS = 0.01  # of quick runs, which try many claims on few studies each
LARGEST_ERROR = 0.06  # of a test at 0.05, and of a decision that claims to be wrong in at most 5 % of studies
CHUNK = 8  # draws that a process makes at a time

FEW = 5.0  # events in a study, below which counts are too coarse for any interval to cover just 95 %

Answer = bool | None
# Why an interval may cover more than 97 %, by the word that marks it.
REASONS = {
    "counts": f"the truth is a bound, or a study expects fewer than {FEW:g} of the events (or of the others) on which "
    "the interval rests. Counts are whole numbers: an interval that keeps 95 % at all rates exceeds it at some.",
    "floor": "runs are taken to differ by a standard deviation of 0.2 at least, on the logit scale, and these differ "
    "by less than three times that. With 0.05 at least, five seeds would cover but 91 % where sizes that give away "
    "nothing stand beside others.",
    "exact": "members are few. Their share has Clopper and Pearson's interval, which covers at least 95 % at any rate, "
    "with a margin for the threshold.",
    "spread": "how an error spreads over the bins is not known. Each end takes the least favourable way.",
    "moments": "runs scatter less than half of what lies between neighbouring moments, on the logarithmic scale of "
    "steps. The moments then bound the law, and the bounds always hold.",
    "chance": "part of what is counted may be chance, and nobody knows how much of it the samples show. The interval "
    "holds for any part.",
    "average": "laws are averaged, and so is the scatter that they leave, since few sizes cannot tell which law holds. "
    "The average covers whichever does, and more where one that spreads wider does not.",
    "pairs": "pairs of generator and data set differ, and each level has an error of its own, which hides by how much. "
    "Both are then taken to be there.",
    "choice": "the same runs choose the best arm and the best simpler method. Each end is corrected for as many as "
    "there are to choose from, and covers more where one stands out, or where all are alike.",
    "careful": "the interval could be narrower. Eight onsets of one seed hardly show how much runs scatter, and "
    "moments that lie apart make too small a scatter look likely, so the prior leans to a large one; a second seed "
    "makes up for it.",
}
MARKS = {"holds": "", "outside": "**outside**", "no answer": ""} | {word: word for word in REASONS}
Draw = Callable[[np.random.Generator], Any]  # an answer or a list of them; by `part` where several claims share it


def few(*expected: float) -> str:
    """The reason `counts` where a study expects fewer than FEW of any of these; otherwise none."""
    return "counts" if min(expected) < FEW else ""


@dataclass(frozen=True)
class Simulation:
    """A published interval, p-value or decision, and studies with known truth to try it on.

    name: unique; it seeds the random numbers. claim: what is simulated, for the table; simulations with the same claim
    stand together. kind: `interval`, a nominal 95 % interval; `p-value`, a test at 0.05 whose null hypothesis is true;
    `decision`, a statement that may be wrong in at most 5 % of studies. draw: simulates one study. It returns whether
    the interval covered the truth (`interval`), the test rejected (`p-value`) or the statement was wrong (`decision`),
    or None where the product gives no answer; or a list of such answers, of studies that are computed at once.
    repeats: draws of a full run. settings: the conditions, for the table. part: of simulations that have the same
    `draw`, so that one fit serves several claims, which of its results belongs to this one. reason: of REASONS, why the
    interval may cover more than 97 %; empty if it may not.
    """

    name: str
    claim: str
    kind: Literal["interval", "p-value", "decision"]
    draw: Draw
    repeats: int = 1000
    settings: Mapping[str, object] = field(default_factory=dict)
    part: str = ""
    reason: str = ""


@dataclass
class Result:
    """What the studies of a simulation gave: how many were true (see `Simulation.draw`), false and refused."""

    simulation: Simulation
    true: int = 0
    false: int = 0
    refused: int = 0

    @property
    def answered(self) -> int:
        return self.true + self.false

    @property
    def share(self) -> float:
        """Coverage, or rate of errors, among the studies that got an answer; NaN if none did."""
        return self.true / self.answered if self.answered else np.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        low, high = wilson(self.true, self.answered)
        return float(low), float(high)

    @property
    def holds(self) -> bool:
        """Whether the share is within its bounds, or outside by no more than the simulation's own error."""
        low, high = self.interval
        if self.simulation.kind == "interval":
            return high >= COVERAGE[0] and (low <= COVERAGE[1] or bool(self.simulation.reason))
        return low <= LARGEST_ERROR

    @property
    def verdict(self) -> str:
        """`holds`, `outside`, `no answer`, or of what covers more than 97 % the reason."""
        if not self.answered:
            return "no answer"
        if not self.holds:
            return "outside"
        wide = self.simulation.kind == "interval" and self.interval[0] > COVERAGE[1]
        return self.simulation.reason if wide else "holds"

    def refuted(self, claims: int) -> bool:
        """Whether so few studies already refute the claim, though `claims` of them were tried at once (Bonferroni)."""
        level = FALSE_ALARMS / claims
        if self.simulation.kind == "interval":
            too_low = binom.cdf(self.true, self.answered, COVERAGE[0])
            too_high = 1.0 if self.simulation.reason else binom.sf(self.true - 1, self.answered, COVERAGE[1])
            return bool(min(too_low, too_high) < level)
        return bool(binom.sf(self.true - 1, self.answered, LARGEST_ERROR) < level)


def simulate(
    simulations: Sequence[Simulation], processes: int | None = None, seconds: float = np.inf
) -> Iterator[Result]:
    """Run simulations in parallel and yield each result as it is complete.

    processes: all CPUs that this process may use, by default. seconds: no study is started later than this, so that
    each simulation gets as many repeats as fit. Raises ValueError where two simulations have one name.
    """
    names = [simulation.name for simulation in simulations]
    if len(set(names)) < len(names):
        raise ValueError(f"two simulations have one name: {sorted({name for name in names if names.count(name) > 1})}")
    deadline = time.monotonic() + seconds
    groups: dict[Draw, list[Simulation]] = {}
    for simulation in simulations:
        groups.setdefault(simulation.draw, []).append(simulation)
    # In rounds, so that a run that stops early has studies of every simulation.
    most = max((simulation.repeats for simulation in simulations), default=0)
    chunks = [
        (group, start) for start in range(0, most, CHUNK) for group in groups.values() if start < group[0].repeats
    ]
    if np.isinf(seconds):
        chunks.sort(key=lambda chunk: names.index(chunk[0][0].name))  # results come one after the other
    waiting = {name: sum(group[0].name == name for group, _ in chunks) for name in names}
    results = {simulation.name: Result(simulation) for simulation in simulations}
    with _workers(chunks, processes or len(os.sched_getaffinity(0)), deadline) as answers:
        for index, counts in answers:
            group = chunks[index][0]
            for simulation, (true, false, refused) in zip(group, counts, strict=True):
                result = results[simulation.name]
                result.true += true
                result.false += false
                result.refused += refused
            waiting[group[0].name] -= 1
            if not waiting[group[0].name]:
                yield from (results[simulation.name] for simulation in group)


Chunk = tuple[list[Simulation], int]  # simulations with the same draw, and the first repeat


class _workers:
    """Forked processes: what a simulation draws with may be a closure, which no pickle takes."""

    def __init__(self, chunks: Sequence[Chunk], processes: int, deadline: float) -> None:
        self._arguments, self._processes, self._count = (chunks, deadline), processes, len(chunks)

    def __enter__(self) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
        self._pool = multiprocessing.get_context("fork").Pool(self._processes, _start, self._arguments)
        return self._pool.imap_unordered(_run, range(self._count))

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()


_chunks: Sequence[Chunk] = ()
_deadline = np.inf


def _start(chunks: Sequence[Chunk], deadline: float) -> None:
    global _chunks, _deadline
    _chunks, _deadline = chunks, deadline


def _run(index: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Counts of true, false and refused in one chunk, of each of its simulations."""
    group, start = _chunks[index]
    answers: list[list[Answer]] = [[] for _ in group]
    seed = zlib.crc32(group[0].name.encode())
    for repeat in range(start, min(start + CHUNK, group[0].repeats)):
        if time.monotonic() > _deadline:
            break
        drawn = group[0].draw(np.random.default_rng([seed, repeat]))
        for simulation, own in zip(group, answers, strict=True):
            part = drawn[simulation.part] if simulation.part else drawn
            own += [None if answer is None else bool(answer) for answer in (part if isinstance(part, list) else [part])]
    return index, [(own.count(True), own.count(False), own.count(None)) for own in answers]


def summary(results: Mapping[str, Sequence[Result]], simulations: int) -> str:
    """How many cells hold, in a sentence and by room, and which do not. simulations: how many there are."""
    every = [result for own in results.values() for result in own]
    verdicts = Counter(result.verdict for result in every)
    studies = sum(result.answered + result.refused for result in every)
    answered = len(every) - verdicts["no answer"]
    wider = ", ".join(f"{verdicts[word]} {word}" for word in REASONS if verdicts[word]) or "none"
    sentences = (
        f"**{answered - verdicts['outside']} of the {answered} cells that get an answer hold**; of them "
        f"cover more than 97 %: {wider}. Outside: {verdicts['outside']}. In {verdicts['no answer']} more, no study "
        f"gets an answer. {len(every)} of {simulations} cells have been run, on {studies:,} studies."
    )
    columns = ["holds", *(word for word in REASONS if verdicts[word]), "outside", "no answer"]
    lines = [
        *textwrap.wrap(sentences, 119),
        "",
        f"| | cells | {' | '.join(columns)} |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for room, own in results.items():
        counts = Counter(result.verdict for result in own)
        lines.append("| " + " | ".join([room, *map(str, [len(own), *map(counts.__getitem__, columns)])]) + " |")
    for word, sentence in REASONS.items():
        if verdicts[word]:
            lines += ["", *textwrap.wrap(f"{word}: {sentence}", 119)]
    if verdicts["outside"]:
        lines += ["", "Outside are:", ""]
    for result in every:
        if result.verdict == "outside":
            low, high = result.interval
            settings = ", ".join(f"{key} {value}" for key, value in result.simulation.settings.items())
            lines.append(
                f"- {result.simulation.claim} ({settings}): {result.share:.3f} ({low:.3f} to {high:.3f}) of the "
                f"{result.answered} answers in {result.answered + result.refused} studies"
            )
    return "\n".join(lines) + "\n"


def table(results: Sequence[Result]) -> str:
    """A Markdown table for each claim and kind: the settings, the share with its interval, and how many got no answer.

    Above it stands the share of all its cells together, of which each has but few studies.
    """
    parts = []
    for claim, kind in dict.fromkeys((result.simulation.claim, result.simulation.kind) for result in results):
        chosen = [result for result in results if (result.simulation.claim, result.simulation.kind) == (claim, kind)]
        share = {"interval": "coverage", "p-value": "type I error", "decision": "wrong"}[kind]
        keys = list(dict.fromkeys(key for result in chosen for key in result.simulation.settings))
        lines = [
            f"**{claim[0].upper()}{claim[1:]}** ({kind})",
            "",
            *_together(chosen, share),
            "| " + " | ".join([*keys, share, "95 % interval", "no answer", "studies", ""]) + " |",
            "|" + "---|" * (len(keys) + 5),
        ]
        for result in chosen:
            low, high = result.interval
            numbers = [f"{result.share:.3f}", f"{low:.3f} to {high:.3f}"] if result.answered else ["–", "–"]
            studies = result.answered + result.refused
            refused = f"{100 * result.refused / studies:.0f} %" if studies else "–"
            settings = [str(result.simulation.settings.get(key, "")) for key in keys]
            lines.append("| " + " | ".join([*settings, *numbers, refused, str(studies), MARKS[result.verdict]]) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _together(results: Sequence[Result], share: str) -> list[str]:
    """The share of all answers of several cells, in a line; none for a single cell, or without answers."""
    true, answered = sum(result.true for result in results), sum(result.answered for result in results)
    if len(results) == 1 or not answered:
        return []
    low, high = wilson(true, answered)
    return [f"All together: {share} {true / answered:.3f} ({low:.3f} to {high:.3f}), of {answered:,} answers.", ""]
