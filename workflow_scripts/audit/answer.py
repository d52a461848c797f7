"""The answer of an audit in a few lines, and whether the samples pass."""

from collections.abc import Iterator, Mapping
from typing import Any

from workflow_scripts.audit.verdict import COPIES, REPEATED
from workflow_scripts.report.stories.layout import count

MATTERS = 0.5  # share of planted copies, found in no space, below which a change is named as a blind spot


def passes(audits: Mapping[str, Mapping[str, Any]], wanted: float) -> bool:
    """Whether all samples are known to hold no more than the wanted percentage of copies: their upper ends say so."""
    highs = [audit["verdict"]["high"] for audit in audits.values()]
    return all(high is not None and high <= wanted for high in highs)


def text(audits: Mapping[str, Mapping[str, Any]], redact: bool) -> str:
    """Five to ten lines of Markdown for each set of samples."""
    return "\n".join(f"- {line}" for name, audit in audits.items() for line in lines(name, audit, redact)) + "\n"


def lines(name: str, audit: Mapping[str, Any], redact: bool) -> Iterator[str]:
    verdict, spaces = audit["verdict"], audit["spaces"]
    yield f"**{name}**: {verdict['sentence']}"
    share = audit["samples"]["distinct"]
    distinct = "" if share >= REPEATED else f" (about {100 * share:.0f} % of them distinct)"
    ours = f"{count(audit['samples']['images'], 'sample')}{distinct}"
    theirs = count(audit["training"]["images"], "training image"), count(audit["held_out"]["usable"], "held-out image")
    yield f"Compared: {', '.join((ours, *theirs))}."
    if verdict["advice"]:
        yield f"To do: {verdict['advice']}"
    if leaked := audit["leaks"]["count"]:
        yield (
            f"The split leaks: {leaked:,} of {audit['held_out']['images']:,} held-out images are near-duplicates of "
            "training images or of their groups, and were left out."
        )
    yield from audit["notes"]
    if shares := [f"{space} {_share(part['copies'][0])}" for space, part in spaces.items() if part["copies"]]:
        yield f"Copies beyond chance, by space: {'; '.join(shares)}."
    elif shares := [
        f"{space} {part['fixed'][0]['replicas']['percentage']:.1f} %" for space, part in spaces.items() if part["fixed"]
    ]:
        yield f"Within the fixed distance, chance included: {'; '.join(shares)} of samples."
    best = found_anywhere(audit["power"])
    if best:
        missed = [f"{change} ({share:.0f} %)" for change, share in best.items() if share < 100 * MATTERS]
        exact = best.get("none", 0.0)
        yield (
            f"Of planted copies, the best space finds {exact:.0f} % where nothing is changed"
            + (f"; it would miss most of these: {', '.join(missed)}." if missed else ", and most after every change.")
        )
    areas = {space: part["membership"] for space, part in spaces.items() if part.get("membership", {}).get("auc")}
    if areas:
        space, area = max(areas.items(), key=lambda item: item[1]["auc"])
        yield f"Membership from samples: {_area(area, f' in {space}')}."
    if (area := audit["membership_by_model"]) and area["auc"] is not None:
        yield f"Membership by the model's own {area['asked']}: {_area(area)}."
    if (first := audit["copied"]["first"]) and verdict["verdict"] == COPIES:
        where = f"number {first[0]['image']}" if redact else first[0]["origin"]
        near = f"{count(first[0]['samples'], 'sample')} within a threshold of it"
        yield f"Copied most: training image {where}, with {near} (held-out images: {first[0]['held_out']:,})."
    if release := audit["release"]:
        what = f"May be released: {release['images']:,} samples (release.npy), no copies, none that tells an image."
        yield f"{what} {_gained(release['gain'])}"
    quality = audit["quality"]
    values = {key: (quality["samples"][key], quality["control"][key]) for key in ("precision", "recall")}
    known = [
        f"{key} {own:.2f} (real images {other:.2f})" for key, (own, other) in values.items() if None not in (own, other)
    ]
    if known:
        yield f"Quality in {quality['space']}: {', '.join(known)}."


def found_anywhere(power: list[Mapping[str, Any]]) -> dict[str, float]:
    """Of each change, the share of planted copies that the best space finds, %."""
    best: dict[str, float] = {}
    for row in power:
        if row["found_percentage"] is not None:
            best[row["change"]] = max(best.get(row["change"], 0.0), row["found_percentage"])
    return best


def _area(area: Mapping[str, Any], where: str = "") -> str:
    told = area["told"][0]
    rate = (
        f"{told['percentage']:.0f} % ({told['low']:.0f} to {told['high']:.0f}) of training images are told at 1 % "
        "false alarms"
        if told["percentage"] is not None
        else told["reason"]
    )
    return f"AUC {area['auc']:.2f} ({area['auc_low']:.2f} to {area['auc_high']:.2f}; by chance 0.5){where}; {rate}"


def _share(copies: Mapping[str, Any]) -> str:
    return f"{copies['percentage']:.1f} % ({copies['low']:.1f} to {copies['high']:.1f})"


def _gained(gain: Mapping[str, Any]) -> str:
    if "reason" in gain:
        return f"What the samples add for rare classes is not measured: {gain['reason']}."
    parts = [
        f"{row['percentage']:.1f} with {name} ({row['gain']:+.1f} points, {row['low']:+.1f} to {row['high']:+.1f})"
        for name, row in zip(("all samples", "those that may be released"), gain["with"].values(), strict=True)
    ]
    return (
        f"Of {gain['images']:,} held-out images of rare classes, {gain['percentage']:.1f} % are recognised without "
        f"samples, {parts[0]}, {parts[1]}."
    )
