"""Does this generator copy? A verdict by a stated rule, from all that an audit measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scipy import special

from workflow_scripts.metrics.groups import FEWEST_GROUPS
from workflow_scripts.replication.verdicts import DISAGREES, ERROR, FEWEST, MEMBERSHIP, UNKNOWN, told

COPIES, NONE = "copies found", "none found"
REPEATED = 0.9  # share of distinct samples below which each counts for less
RULE = """\
Each measure is compared with its control on held-out images, by a one-sided test: in every space copies at the first
threshold and C_T; in those of the config also authenticity, lone neighbours, near-duplicates, distances relative to
fifty neighbours, and membership. A measure shows copying if its p-value times the number of tests (Bonferroni) is at
most 0.05.

- **copies found**: in at least one space more samples lie within the threshold than chance explains: the test says so,
  and the lower end of an interval that holds in all spaces together (95 %, Bonferroni) is above 0.
- **the evidence disagrees**: no space shows copies at the threshold so surely, but another measure shows copying.
- **none found**: no measure shows copying. At most x % of samples are copies in any one space: x is the largest upper
  end of the 95 % intervals of all spaces. Copies that only one space shows are not added to those of another.
- **not enough data**: fewer than 100 samples, or 100 held-out images that are no near-duplicates of training images, or
  too few for the threshold, or of fewer than 8 groups; or fewer than 100 distinct samples, of which no measure shows
  copying. Copies are still found where they show themselves: without held-out images, by training images that stand
  apart from a sample's other neighbours as no chance explains.
"""
ENOUGH = 1000  # held-out images that are recommended where there are none


@dataclass(frozen=True)
class Evidence:
    """One measure beside its control; p_value: before the correction for the number of measures."""

    space: str
    measure: str
    value: float
    control: float
    p_value: float
    shows: bool

    def __str__(self) -> str:
        return told(self.measure, self.space, [self.value], [self.control])


@dataclass(frozen=True)
class Verdict:
    """percentage, low, high: copies, % of samples, in the space that shows most; high: the largest of all spaces.

    None where they cannot be given. advice: what would make the answer stronger, empty if nothing is needed.
    """

    verdict: str
    sentence: str
    space: str | None
    percentage: float | None
    low: float | None
    high: float | None
    advice: str
    evidence: tuple[Evidence, ...]


def judge(
    measured: Mapping[str, Mapping[str, Any]],
    samples: int,
    distinct: float,
    held_out: int,
    wanted: float,
    groups: int | None = None,
) -> Verdict:
    """The verdict by `RULE`.

    measured: of measures.measure, by space; samples: how many there are, of which the share `distinct` do not repeat
    others; held_out: clean held-out images; wanted: the percentage of copies that is accepted; groups: of the held-out
    images, None where each is its own.
    """
    leading = {space: part["copies"][0] for space, part in measured.items() if part["copies"]}
    evidence = tuple(_evidence(measured))
    counted = round(distinct * samples)
    shown = [
        item
        for item in evidence
        if item.shows and (not item.measure.startswith("copies") or leading[item.space]["certain"] > 0)
    ]
    repeats = "" if distinct >= REPEATED else f"; only about {counted:,} of the samples are distinct"
    copied = [item.space for item in shown if item.measure.startswith("copies")]
    if copied:
        space = max(copied, key=lambda name: leading[name]["certain"])
        most, high = leading[space], max(part["high"] for part in leading.values())
        return Verdict(
            COPIES,
            f"Copies found: {most['percentage']:.1f} % of samples (95 % interval {most['low']:.1f} to "
            f"{most['high']:.1f} %) lie nearer to a training image, in the space {space}, than chance explains; "
            f"with those by chance, they lie nearest to {most['images']:,} training images{repeats}.",
            space, most["percentage"], most["low"], high, "", evidence,
        )  # fmt: skip
    few = [
        f"{number:,} {what}"
        for number, what, least in (
            (counted, "distinct samples", FEWEST),
            (held_out, "usable held-out images", FEWEST),
            (groups, "groups of held-out images", FEWEST_GROUPS),
        )
        if number is not None and number < least
    ]
    near = _near_duplicates(measured)
    if not leading or min(samples, held_out) < FEWEST or (few and (near or not shown)):
        return _unknown(near, few, held_out, groups, evidence)
    space = max(leading, key=lambda name: leading[name]["high"])
    high = leading[space]["high"]
    most = f"at most {high:.{1 if high >= 1 else 2}f} % of samples are copies in any one space (95 %; most in {space})"
    advice = ""
    if high > wanted:
        times = (high / wanted) ** 2
        advice = (
            f"Up to {high:.1f} % is more than the {wanted:g} % that are accepted; about {_round(times * counted)} "
            f"samples and {_round(times * held_out)} held-out images could settle it."
        )
    if shown:
        against = "; ".join(map(str, shown))
        return Verdict(
            DISAGREES,
            f"The evidence disagrees: by distances alone, {most}; but {against}{repeats}.",
            space, leading[space]["percentage"], leading[space]["low"], high, advice, evidence,
        )  # fmt: skip
    return Verdict(
        NONE, f"None found: {most}.", space, leading[space]["percentage"], leading[space]["low"], high, advice, evidence
    )


def _unknown(
    near: Mapping[str, Mapping[str, Any]],
    few: list[str],
    held_out: int,
    groups: int | None,
    evidence: tuple[Evidence, ...],
) -> Verdict:
    """Without enough samples or held-out images: what shows itself, or that nothing can be said."""
    advice = (
        f"About {ENOUGH:,} held-out images, of the same kind as the training images and never shown to the generator, "
        "would give what chance gives: calibrated thresholds, an upper limit, and membership."
        if held_out < FEWEST
        else f"Held-out images of at least {FEWEST_GROUPS} groups, none of them trained on, are needed; 20 are better."
        if groups is not None and groups < FEWEST_GROUPS
        else f"At least {FEWEST} distinct samples are needed; about {ENOUGH:,} are better."
    )
    if near:
        space = max(near, key=lambda name: near[name]["count"])
        hits = near[space]
        return Verdict(
            COPIES,
            f"Copies found: {hits['count']:,} of {hits['of']:,} samples ({hits['percentage']:.1f} %) are near-"
            f"duplicates of a training image in {space}, which stands apart from their other neighbours; there may be "
            "more.",
            space, hits["percentage"], hits["low"], None, advice, evidence,
        )  # fmt: skip
    why = " and ".join(few) or f"{held_out:,} held-out images are too few for the threshold"
    return Verdict(
        UNKNOWN,
        f"Not enough data: {why}. No sample is a near-duplicate of a training image, but copies that are changed more "
        "may be there.",
        None, None, None, None, advice, evidence,
    )  # fmt: skip


def _near_duplicates(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Samples that are near-duplicates of a training image, of the spaces that have any."""
    known = {space: part["near_duplicates"]["samples"] for space, part in measured.items() if "near_duplicates" in part}
    return {space: samples for space, samples in known.items() if samples["count"]}


def _evidence(measured: Mapping[str, Mapping[str, Any]]) -> Iterator[Evidence]:
    tests: list[tuple[str, str, Any, Any, Any]] = []
    for space, part in measured.items():
        if part["copies"]:
            first = part["copies"][0]
            tests.append(
                (space, f"copies at {first['label']}", first["within"], first["within"] - first["percentage"],
                 first["p_value"])
            )  # fmt: skip
        for name, key in COMPARED.items():
            if compared := part.get(key):
                values = (compared[kind]["percentage"] for kind in ("samples", "held_out"))
                tests.append((space, name, *values, compared["p_value"]))
        if relative := part.get("relative"):
            values = (relative[kind]["percentage"] for kind in ("replicas", "background"))
            tests.append((space, "relatively near samples", *values, relative["p_value"]))
        z = part["data_copying"]["z"]
        p_value = None if z is None else float(special.ndtr(z))
        tests.append((space, "C_T", z, part["data_copying_control"]["z"], p_value))
        if area := part.get("membership"):
            tests.append((space, MEMBERSHIP, area["auc"], 0.5, area["p_value"]))
    known = [test for test in tests if None not in test]
    for space, measure, value, control, p_value in known:
        yield Evidence(space, measure, float(value), float(control), p_value, p_value * len(known) <= ERROR)


COMPARED = {
    "authentic samples": "authenticity",
    "lone neighbours": "lone_neighbour",
    "near-duplicates": "near_duplicates",
}


def _round(number: float) -> str:
    """A number of images to two digits."""
    size = 10 ** max(0, len(str(int(number))) - 2)
    return f"{int(-(-number // size) * size):,}"
