"""Does this generator copy a set of this size? A verdict by a stated rule, from all evidence that was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from workflow_scripts.core.words import listed
from workflow_scripts.metrics.groups import FEWEST_GROUPS
from workflow_scripts.replication.summary import CELL, grouped

COPIES, NONE, DISAGREES, UNKNOWN = "copies", "no copies found", "the evidence disagrees", "not enough data"
ERROR = 0.05  # of all evidence on one generator and size together
FEWEST = 100  # samples, and held-out images
MEMBERSHIP = "membership AUC"
MOST_NAMED = 3  # measures that a sentence names
RULE = """\
Each measure is compared with its control on held-out images, by a one-sided test in each run: copies at every
threshold, authenticity, C_T (data copying) and membership, in every space. A measure shows copying if its p-value in
any run, times the number of tests on this generator and size (Bonferroni), is at most 0.05.

- **copies**: the leading threshold shows more replicas than chance gives.
- **the evidence disagrees**: the leading threshold does not, but another measure shows copying; or it does, but in
  another space no measure shows copying, and at the same threshold there are clearly fewer.
- **no copies found**: no measure shows copying. The percentage is the upper end of the 95 % interval over seeds of what
  lies within the leading threshold, chance included.
- **not enough data**: fewer than 100 samples or held-out images, or held-out images of fewer than 8 groups; or no
  copies are found, and the runs are too few for an interval over seeds.
"""


@dataclass(frozen=True)
class Evidence:
    """One measure of one generator and size beside its control.

    values, controls: of each seed; in percent, or C_T's z, or an AUC (by chance 0.5). p_value: over seeds, before the
    correction for the number of measures; shows: whether copying is shown after it.
    """

    space: str
    measure: str
    values: tuple[float, ...]
    controls: tuple[float, ...]
    p_value: float
    shows: bool

    def __str__(self) -> str:
        return told(self.measure, self.space, self.values, self.controls)


def told(measure: str, space: str, values: Sequence[float], controls: Sequence[float]) -> str:
    """A measure in words, beside what its control gives."""
    unit, digits = {"C_T": ("", 1), MEMBERSHIP: ("", 2)}.get(measure, (" %", 1))
    ours, theirs = (
        " and ".join(dict.fromkeys(f"{value:.{digits}f}{unit}" for value in numbers)) for numbers in (values, controls)
    )
    chance = "chance" if measure == MEMBERSHIP else "held-out images"
    return f"{measure} in {space} {ours} ({chance} {theirs})"


@dataclass(frozen=True)
class Verdict:
    """What all evidence says of one generator on one size; percentage, low, high: over seeds, leading threshold."""

    generator: str
    dataset: str
    size: int
    seeds: int
    verdict: str
    sentence: str
    percentage: float | None
    low: float | None
    high: float | None
    evidence: tuple[Evidence, ...]


def verdicts(
    runs: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]], copies: pd.DataFrame
) -> list[Verdict]:
    """The verdict on each generator and size by `RULE`; the first run's space and first threshold lead.

    runs, measured: as copies_over_seeds takes them, and copies what it gives.
    """
    leading = runs[0]["space"], measured[0]["thresholds"][0]["label"]
    cells = grouped(zip(runs, measured, strict=True), lambda item: tuple(item[0][key] for key in CELL))
    rows: dict[Any, Any] = copies.set_index([*CELL, "space", "threshold"]).to_dict("index")
    return [_judge(cell, part, leading, rows) for cell, part in cells.items()]


def _judge(
    cell: tuple[Any, ...],
    part: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    leading: tuple[str, str],
    copies: Mapping[tuple, Mapping[str, Any]],
) -> Verdict:
    generator, dataset, size = cell
    space, label = leading
    first = [next(t for t in run["thresholds"] if t["label"] == label) for key, run in part if key["space"] == space]
    evidence = _evidence(part)
    lead = next((item for item in evidence if (item.space, item.measure) == (space, f"replicas at {label}")), None)
    over_seeds = copies.get((*cell, *leading), {})
    low, high, percentage = (_number(over_seeds.get(key)) for key in ("low", "high", "percentage"))

    def verdict(kind: str, sentence: str) -> Verdict:
        return Verdict(generator, dataset, int(size), len(first), kind, sentence, percentage, low, high, evidence)

    samples, held_out = (min(run[kind]["of"] for run in first) for kind in ("replicas", "background"))
    if lead is None or min(samples, held_out) < FEWEST:
        return verdict(
            UNKNOWN,
            f"Not enough data: {samples:,} samples and {held_out:,} held-out images; {FEWEST} of each would be enough.",
        )
    if (groups := min(run["held_out_groups"] for key, run in part if key["space"] == space)) < FEWEST_GROUPS:
        came = f"{groups} group{'s' * (groups != 1)}"
        return verdict(UNKNOWN, f"Not enough data: held-out images of {came}; {FEWEST_GROUPS} would be enough.")
    chance = np.mean(lead.controls)
    where = f"{percentage:.1f} % of samples lie within {label} in {space}"
    others = [item for item in evidence if item.shows and item is not lead]
    if lead.shows:
        floor = min(run["low"] for run in first if run["p_value"] == min(run["p_value"] for run in first))
        telling = {item.space for item in evidence if item.shows}
        against = [
            item for item in evidence if item.space not in telling and _contradicts(item, lead, part, label, floor)
        ]
        told = f"{where} ({_over_seeds(first, over_seeds)}; chance gives {chance:.1f} %)"
        if against:
            return verdict(DISAGREES, f"The evidence disagrees: {told}, but {_named(against)}.")
        return verdict(COPIES, f"Copies: {told}.")
    if others:
        return verdict(
            DISAGREES,
            f"The evidence disagrees: {where}, no more than by chance ({chance:.1f} %), but {_leaning(others)}: "
            f"{_named(others)}.",
        )
    if high is None:
        return verdict(UNKNOWN, f"Not enough data: no copies are found, but {over_seeds['reason']}.")
    return verdict(
        NONE,
        f"No copies found: at most {high:.1f} % of samples ({len(first)} seeds, upper end of the 95 % interval; chance "
        f"gives {chance:.1f} %).",
    )


def _over_seeds(runs: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> str:
    if (low := _number(row.get("low"))) is not None:
        return f"95 % interval over {len(runs)} seeds {low:.1f} to {row['high']:.1f} %"
    ends = "; ".join(f"{run['low']:.1f} to {run['high']:.1f} %" for run in runs)
    return f"95 % interval of each run alone {ends}: {row['reason']}"


def _contradicts(
    item: Evidence,
    lead: Evidence,
    part: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    label: str,
    floor: float,
) -> bool:
    """Whether another space finds clearly fewer copies at the leading threshold."""
    if item.measure != lead.measure:
        return False
    ends = [
        t["high"] for key, run in part if key["space"] == item.space for t in run["thresholds"] if t["label"] == label
    ]
    return max(ends) < floor


def _evidence(part: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> tuple[Evidence, ...]:
    """All that was measured of one generator and size, over its spaces and seeds."""
    tests: list[tuple[Any, ...]] = []  # space, measure, value, control, p-value
    for run, measured in part:
        space = run["space"]
        tests += [
            (
                space,
                f"replicas at {threshold['label']}",
                threshold["replicas"]["percentage"],
                threshold["background"]["percentage"],
                threshold["p_value"],
            )
            for threshold in measured["thresholds"]
        ]
        authenticity, z = measured["authenticity"], measured["data_copying"]["z"]
        shares = (authenticity[kind]["percentage"] for kind in ("samples", "held_out"))
        tests.append((space, "authenticity", *shares, authenticity["p_value"]))
        p_value = None if z is None else float(special.ndtr(z))
        tests.append((space, "C_T", z, measured["data_copying_control"]["z"], p_value))
        area = measured["membership"]
        tests.append((space, MEMBERSHIP, area["auc"], 0.5, area["p_value"]))
    known = [test for test in tests if None not in test]
    evidence = []
    for (space, measure), items in grouped(known, lambda test: test[:2]).items():
        values, controls, p_values = (tuple(float(test[i]) for test in items) for i in (2, 3, 4))
        shows = min(p_values) * len(known) <= ERROR
        evidence.append(Evidence(space, measure, values, controls, min(1.0, min(p_values) * len(items)), shows))
    return tuple(evidence)


def answer(judged: Sequence[Verdict]) -> str:
    """The verdicts as a Markdown list: a sentence for each generator and size, one for all sizes that it copies."""
    lines = []
    for (generator, dataset, kind), items in grouped(
        judged, lambda item: (item.generator, item.dataset, item.verdict)
    ).items():
        if kind == COPIES and len(items) > 1:
            sizes, shares = listed(item.size for item in items), listed(map(_share, items))
            lead = items[0].evidence[0]
            over = f"{'no interval' if items[0].low is None else '95 % intervals'} over seeds"
            lines.append(
                f"{generator} copies {dataset} with {sizes} training images: {shares} of samples lie within "
                f"{lead.measure.removeprefix('replicas at ')} in {lead.space} ({over}), by chance "
                f"{lead.controls[0]:.1f} %."
            )
        else:
            lines += [f"{generator} on {item.size:,} images of {dataset}: {item.sentence}" for item in items]
    return "".join(f"- {line}\n" for line in lines)


def _share(item: Verdict) -> str:
    """A percentage of copies with its interval, where there is one."""
    ends = "" if item.low is None else f" ({item.low:.1f} to {item.high:.1f})"
    return f"{item.percentage:.1f} %{ends}"


def _leaning(evidence: Sequence[Evidence]) -> str:
    """What measures show that find copying where the leading threshold does not."""
    if all(item.measure == MEMBERSHIP for item in evidence):
        return "samples tell which images the generator was trained on"
    return "samples lie nearer to the training images than held-out images do"


def _named(evidence: Sequence[Evidence]) -> str:
    """The measures that show most, and how many more there are."""
    ordered = sorted(evidence, key=lambda item: item.p_value)
    further = [f"{len(ordered) - MOST_NAMED} more"] if len(ordered) > MOST_NAMED else []
    return "; ".join([*map(str, ordered[:MOST_NAMED]), *further])


def _number(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
