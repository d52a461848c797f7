"""The report of an audit: one HTML file that needs nothing else, with an annex for a data protection officer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from workflow_scripts.audit.answer import lines
from workflow_scripts.audit.verdict import RULE
from workflow_scripts.core.provenance import versions
from workflow_scripts.report.page import PARTS, environment
from workflow_scripts.report.stories.layout import Figure, Part, figure, marked
from workflow_scripts.report.study import Study
from workflow_scripts.report.tables import Cell, Table, cell, interval

LISTED = 50  # training images by copies, and leaks, in the page; audit.json has more

# What was tested, with the places where standards ask for it, and what was not.
TESTED = (
    ("Regurgitation: samples that are copies of training images", "EDPB Opinion 28/2024"),
    (
        "Membership: can it be told from samples alone who was in the training set?",
        "EDPB Opinion 28/2024; OWASP AISVS C11.3",
    ),
    ("The audit's own power: which planted copies it finds", ""),
    ("Leakage between training and held-out images", ""),
)
BY_MODEL = (
    (
        "Membership: can the model's own denoising loss or discriminator tell who was in the training set?",
        "OWASP AISVS C11.3",
    ),
)
NOT_TESTED = (
    ("Membership with full access to the model (shadow models, all its losses and gradients)", "OWASP AISVS C11.3"),
    ("Attribute inference, and inversion of the model", "EDPB Opinion 28/2024; OWASP AISVS C11.4"),
    ("Reconstruction of training images from the weights", "EDPB Opinion 28/2024"),
    ("Exfiltration and extraction of the model", "EDPB Opinion 28/2024; OWASP AISVS C11.5"),
    ("Samples by other prompts, settings or versions of the generator than those given", ""),
)


@dataclass(frozen=True)
class Section:
    """One set of samples. facts: names and values; figures: shown at once; parts: tables under headings."""

    name: str
    verdict: str
    answer: tuple[Markup, ...]
    facts: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]
    parts: tuple[Part, ...]


def write_page(study: Study, dataset: str, audits: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """The report of all samples that were compared with a data set. audits: as measure_audit wrote them, by name."""
    sections = [_section(study, dataset, name, audit, settings["redact"]) for name, audit in audits.items()]
    made = versions()
    by_model = any(audit["membership_by_model"] for audit in audits.values())
    return (
        environment()
        .get_template("audit.html.j2")
        .render(
            dataset=dataset,
            sections=sections,
            rule=_paragraphs(RULE),
            wanted=settings["wanted_percentage"],
            annex=_annex(audits),
            tested=_listed("What was tested", (*TESTED, *(BY_MODEL if by_model else ()))),
            not_tested=_listed("What was not tested", NOT_TESTED),
            config=study.config_text,
            versions=made,
            revision=settings["revision"],
            style=Markup((PARTS / "page.css").read_text(encoding="utf-8")),
            script=Markup((PARTS / "page.js").read_text(encoding="utf-8")),
        )
    )


def _paragraphs(text: str) -> list[Markup]:
    return [marked(part.removeprefix("- ")) for part in text.strip().replace("\n- ", "\n\n- ").split("\n\n")]


def _section(study: Study, dataset: str, name: str, audit: Mapping[str, Any], redact: bool) -> Section:
    place = f"{dataset}/{name}"
    drawn = ["audit_distances"] if redact else ["audit_distances", "audit_pairs"]
    figures = tuple(figure(study, f"{kind}/{place}", kind, dataset=dataset, samples=name) for kind in drawn)
    first, *rest = lines(name, audit, redact)
    high = audit["verdict"]["high"]
    facts = (
        ("samples", f"{audit['samples']['images']:,}"),
        ("of them distinct", f"about {100 * audit['samples']['distinct']:.0f} %"),
        ("training images", f"{audit['training']['images']:,}"),
        ("compared at", f"{audit['training']['side']} px"),
        ("held-out images used", f"{audit['held_out']['usable']:,} of {audit['held_out']['images']:,}"),
        ("copies, at most", "unknown" if high is None else f"{high:.{1 if high >= 1 else 2}f} %"),
    )
    answer = _texts(first.split(": ", 1)[1], *rest)
    return Section(name, audit["verdict"]["verdict"], answer, facts, figures, tuple(_parts(audit, redact)))


def _parts(audit: Mapping[str, Any], redact: bool) -> list[Part]:
    parts = [
        Part("Copies", _texts(COPIES_TEXT), tables=(_copies(audit), *_fixed(audit)), folded=False),
        Part("What this audit would have missed", _texts(POWER_TEXT), tables=(_power(audit),), folded=False),
        Part("Every measure beside its control", tables=(_evidence(audit), *_distances(audit))),
        Part("Membership", _texts(MEMBERSHIP_TEXT), tables=(_membership(audit),)),
        Part("Quality and variety", _texts(QUALITY_TEXT), tables=(_quality(audit),)),
    ]
    if audit["copied"]["images"]:
        parts.append(Part("Which images are copied", tables=tuple(_copied(audit, redact))))
    if audit["leaks"]["count"]:
        parts.append(Part("Leakage of the split", _texts(LEAKS_TEXT), tables=(_leaks(audit, redact),)))
    return parts


COPIES_TEXT = (
    "A sample counts where it lies nearer to a training image than all but the threshold's share of held-out images "
    "do. Chance is what samples that are no copies show there; the interval carries the error of the count, of the "
    "threshold and of chance. `moved` compares over mirror images, shifts of up to a tenth, zooms, turns, brightness "
    "and contrast; `tiles` is the largest distance of 4 x 4 tiles at the best of these, which flat backgrounds cannot "
    "make small; `halves` compares the half that is most alike."
)
POWER_TEXT = (
    "Training images were planted among the samples, as they are and changed. Found: nearer to a training image than "
    "the threshold, with the 95 % interval of counting. In square brackets: held-out images changed in the same way "
    "that would be called copies."
)
MEMBERSHIP_TEXT = (
    "Is a training image nearer to its nearest sample than a held-out image is to its own? AUC 0.5 is chance. Few "
    "samples may copy while each training image can still be told. The control is a classifier that sees no sample: if "
    "it tells training images from held-out ones, they differ in kind, and the others may see no more. A model's own "
    "denoising loss is lower for images that it was trained on, and its discriminator calls them real more firmly. The "
    "verdict, which is on samples, does not weigh that."
)
QUALITY_TEXT = (
    "Samples beside the control: one half of the held-out images (training images without them) against the other."
)
LEAKS_TEXT = "These held-out images are not independent of the training images. They were left out of every control."


def _texts(*texts: str) -> tuple[Markup, ...]:
    return tuple(marked(text.replace(" %", "\N{NO-BREAK SPACE}%")) for text in texts)


def _percent(value: float | None, form: str = ".1f") -> Cell:
    return cell(value) if value is None else Cell(f"{value:{form}} %", value)


def _copies(audit: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            cell(space),
            cell(row["label"]),
            cell(row["threshold"], ".4f"),
            interval(row["within"], row["within_low"], row["within_high"], ".2f", " %"),
            _percent(row["chance"], ".2f"),
            interval(row["percentage"], row["low"], row["high"], ".2f", " %"),
            cell(row["images"]),
        )
        for space, part in audit["spaces"].items()
        for row in part["copies"]
    )
    columns = ("space", "threshold", "distance", "samples within", "chance", "copies (95 %)", "training images nearest")
    return Table("Copies at calibrated thresholds, % of samples", columns, rows)


def _fixed(audit: Mapping[str, Any]) -> list[Table]:
    rows = tuple(
        (
            cell(space),
            cell(row["label"]),
            _percent(row["replicas"]["percentage"], ".2f"),
            _percent(row["background"]["percentage"], ".2f"),
            _percent(row["near_duplicates"]["percentage"], ".2f"),
        )
        for space, part in audit["spaces"].items()
        for row in part["fixed"]
    )
    columns = ("space", "distance", "samples within", "held-out images within", "training images within another's")
    return [Table("Samples within fixed distances, chance included", columns, rows)] if rows else []


def _power(audit: Mapping[str, Any]) -> Table:
    spaces = list(dict.fromkeys(row["space"] for row in audit["power"]))
    changes = list(dict.fromkeys(row["change"] for row in audit["power"]))
    by_place = {(row["space"], row["change"]): row for row in audit["power"]}

    def found(row: Mapping[str, Any] | None) -> Cell:
        if row is None or row["found_percentage"] is None:
            return Cell("–")
        false = "" if row["false_percentage"] is None else f" [{row['false_percentage']:.0f}]"
        ends = f"{row['found_percentage']:.0f} ({row['found_low']:.0f} to {row['found_high']:.0f}){false}"
        return Cell(ends, row["found_percentage"])

    rows = tuple((cell(change), *(found(by_place.get((space, change))) for space in spaces)) for change in changes)
    return Table("Planted copies that are found, %, by how they were changed", ("change", *spaces), rows)


def _evidence(audit: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            cell(item["measure"]),
            cell(item["space"]),
            cell(item["value"], ".2f"),
            cell(item["control"], ".2f"),
            cell(item["p_value"], ".2g"),
            cell(item["shows"]),
        )
        for item in audit["verdict"]["evidence"]
    )
    columns = ("measure", "space", "samples", "control", "p-value", "shows copying")
    return Table("All that the verdict weighs, before the correction for the number of measures", columns, rows)


def _distances(audit: Mapping[str, Any]) -> list[Table]:
    rows = tuple(
        (
            cell(space),
            cell(name),
            *(cell(part[key][kind].get(share), ".4f") for share in ("0.05", "0.5") for kind in ("samples", "held_out")),
        )
        for space, part in audit["spaces"].items()
        for key, name in (("distances", "distance to the closest record (DCR)"), ("ratios", "ratio to the next (NNDR)"))
        if part[key]["samples"]
    )
    columns = ("space", "measure", "samples, 5 %", "held-out, 5 %", "samples, median", "held-out, median")
    return [Table("Distances to the closest training image", columns, rows)]


def _membership(audit: Mapping[str, Any]) -> Table:
    areas = {space: part["membership"] for space, part in audit["spaces"].items() if part.get("membership")}
    areas["without samples (control)"] = audit["membership_without_samples"]
    if audit["membership_by_model"]:
        areas[f"the model's own {audit['membership_by_model']['asked']}"] = audit["membership_by_model"]
    rows = []
    for name, area in areas.items():
        told = [
            Cell(row["reason"]) if row["percentage"] is None
            else interval(row["percentage"], row["low"], row["high"], ".1f", " %")
            for row in area["told"]
        ]  # fmt: skip
        value = (
            Cell(area["reason"])
            if area["auc"] is None
            else interval(area["auc"], area["auc_low"], area["auc_high"], ".3f")
        )
        rows.append((cell(name), cell(area["members"]), cell(area["controls"]), value, *told))
    columns = ("by", "training images", "held-out images", "AUC", "told at 1 %", "told at 0.1 % false alarms")
    return Table("Membership", columns, tuple(rows))


def _quality(audit: Mapping[str, Any]) -> Table:
    quality = audit["quality"]
    columns = {"samples": quality["samples"], "control": quality["control"]}
    if (release := audit["release"]) and release["quality"]:
        columns[f"released samples ({release['images']:,})"] = release["quality"]
    rows = tuple(
        (cell(name), *(cell(values[name], ".4g") for values in columns.values())) for name in quality["samples"]
    )
    return Table(f"Measured in {quality['space']}", ("measure", *columns), rows)


def _copied(audit: Mapping[str, Any], redact: bool) -> list[Table]:
    shown = audit["copied"]["first"][:LISTED]
    more = f"; the first {LISTED} of {audit['copied']['images']:,}" if audit["copied"]["images"] > LISTED else ""
    name = "image" if redact else "origin"
    rows = tuple(
        (cell(row[name]), *(cell(row[key]) for key in ("samples", "held_out")), cell(row["share"], ".2f"),
         cell(row["space"]))
        for row in shown
    )  # fmt: skip
    columns = ("number" if redact else "file", "samples", "held-out images", "least distance / threshold", "in")
    of = f"{audit['samples']['images']:,} samples and {audit['held_out']['usable']:,} held-out images"
    tables = [Table(f"How many of {of} lie within a threshold, chance included{more}", columns, rows)]
    names = audit["classes"]["names"]
    for title, key, part in (("class", "label", audit["classes"]["copied"]), ("group", "group", audit["groups"])):
        if part and (title == "group" or len(names) > 1):
            listed = tuple(
                (
                    cell(names[row[key]] if title == "class" and 0 <= row[key] < len(names) else row[key]),
                    cell(row["copied"]),
                    cell(row["of"]),
                    interval(100 * row["copied"] / row["of"], row["low"], row["high"], ".1f", " %"),
                )
                for row in part[:LISTED]
            )
            tables.append(Table(f"Such images by {title}", (title, "images", "of", "share"), listed))
    return tables


def _leaks(audit: Mapping[str, Any], redact: bool) -> Table:
    keys = ("held_out", "training") if redact else ("held_out_origin", "training_origin")
    rows = tuple(
        (
            *(cell(row[key]) for key in keys),
            cell(row["reason"]),
            cell(row["space"] or "–"),
            cell(row["distance"], ".4f"),
        )
        for row in audit["leaks"]["first"][:LISTED]
    )
    return Table("Leaks", ("held-out image", "training image", "reason", "space", "distance"), rows)


def _annex(audits: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            cell(name),
            cell(audit["verdict"]["verdict"]),
            Cell("unknown") if audit["verdict"]["high"] is None else _percent(audit["verdict"]["high"], ".2f"),
            cell(audit["samples"]["images"]),
            cell(audit["samples"]["sha256"]),
            cell(audit["training"]["images"]),
            cell(audit["training"]["sha256"]),
        )
        for name, audit in audits.items()
    )
    columns = ("samples", "verdict", "copies, at most", "images", "SHA-256 of the samples, packed",
               "training images", "SHA-256 of the data set, packed")  # fmt: skip
    return Table("Results and data", columns, rows)


def _listed(title: str, items: tuple[tuple[str, str], ...]) -> Table:
    return Table(title, ("what", "asked for by"), tuple((cell(what), Cell(by or "–")) for what, by in items))
