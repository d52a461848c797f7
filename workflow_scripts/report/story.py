"""The text of the report: for each question of a study its answer, picture, method, certainty and next step.

Answers, headline numbers and captions are those that the workflow wrote before; what is added here says how they came
about and what to do next, with the numbers of the study.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from workflow_scripts.core.files import read_csv
from workflow_scripts.distillation.find_trends import RESPONSES, WORDS
from workflow_scripts.laws.decay import DecayFit
from workflow_scripts.laws.pairs import Pair, fit_pairs
from workflow_scripts.laws.study import points_by_pair, study_axes
from workflow_scripts.rebalancing.drawing import COLUMNS
from workflow_scripts.rebalancing.gain_law import GainPoints, fit_gain_law
from workflow_scripts.report import charts, headlines, pictures
from workflow_scripts.report.study import Study
from workflow_scripts.report.tables import Table, cell, from_frame, interval
from workflow_scripts.similarity.ordering import cluster_order

CAPTIONS = Path(__file__).parents[2] / "report"
FACTORS = {"first": "teachers", "second": "student", "interaction": "both together"}  # of the two-factor analysis
TO_DO, MEASURED = "To do: ", "Measured by "  # lines of the one-shot answer
MOST_ROWS = 3000  # of a table in the page; the file has all


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, and what it shows; pixelated: its pixels are meant to be seen."""

    source: str
    alternative: str
    pixelated: bool = False
    label: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart or pictures with a caption, and the same as numbers; label: where a reader chooses among several."""

    label: str
    caption: Markup
    chart: charts.Chart | None = None
    pictures: tuple[Picture, ...] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Choice:
    """Figures of which one is shown at a time. name: what is chosen, for the control's label."""

    name: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Part:
    """A part of a story: text, figures and tables under a heading; folded: shown only when asked for."""

    title: str
    text: tuple[Markup, ...] = ()
    choices: tuple[Choice, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Headline:
    """The shortest answer: one thing, its value, and its interval or what else must be said with it."""

    thing: str
    value: str
    note: str


@dataclass(frozen=True)
class Story:
    """One question of the study. name: of its section; headlines: the answer in numbers; answer: in sentences."""

    name: str
    question: str
    idea: str
    headlines: tuple[Headline, ...]
    answer: tuple[Markup, ...]
    picture: tuple[Choice, ...]
    measured: tuple[str, ...]
    certainty: tuple[str, ...]
    following: tuple[str, ...]
    more: tuple[Part, ...] = field(default=())


def caption(name: str, **wildcards: str) -> Markup:
    """A figure's caption in `report/`, which Snakemake's own report shows as well, as HTML."""
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    job = SimpleNamespace(wildcards=SimpleNamespace(**wildcards))
    return _marked(jinja2.Template(text).render(snakemake=job))


def _marked(text: str) -> Markup:
    """Text with ** for strong and `` or ` for code, as HTML."""
    safe = html.escape(" ".join(text.split()), quote=False)
    safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe)
    return Markup(re.sub(r"`+(.+?)`+", r"<code>\1</code>", safe))


def _lines(lines: Iterable[str]) -> tuple[Markup, ...]:
    return tuple(_marked(line) for line in lines)


def _were(names: Sequence[Any]) -> str:
    return f"{_listed(names)} was" if len(names) == 1 else f"{_listed(names)} were each"


def _listed(names: Iterable[Any]) -> str:
    words = [f"{one:,}" if isinstance(one, int) else str(one) for one in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}" + ("" if number == 1 else "s")


def _first(frame: pd.DataFrame, caption_text: str, path: str) -> tuple[pd.DataFrame, str]:
    """The rows of a table that the page shows, and its caption, which names the file with all of them."""
    more = f"; the first {MOST_ROWS:,} of {len(frame):,} rows" if len(frame) > MOST_ROWS else ""
    return frame.head(MOST_ROWS), f"{caption_text} (results/{path}{more})"


# Replication


def leading_laws(study: Study) -> dict[str, dict[Pair, DecayFit]]:
    """The laws at the leading space and threshold, by axis, fitted as the workflow fits them."""
    table = headlines.leading_rows(study.replication, study.laws)
    found: dict[str, dict[Pair, DecayFit]] = {}
    for axis in study_axes(study.replication):
        pairs = points_by_pair(table, axis)
        if axis.name != "size" and pairs:
            found[axis.name] = fit_pairs(pairs, axis, study.config["law"]["fit"])
    return found


def replication(study: Study) -> Story | None:
    if not study.replicated:
        return None
    settings, table, laws = study.config["replication"], study.replication, study.laws
    estimates = {name: study.json(f"one_shot/{name}.json") for name in study.replicated}
    found = headlines.copies(table, laws)
    fits = leading_laws(study)
    label, distance = laws["leading"]["threshold"], laws["leading"]["threshold_rms"]
    where = f"{laws['leading']['space']}, {label}"
    wanted = laws["wanted_percentage"]

    shown = []
    for name in study.replicated:
        rows = [
            row for one in found if one.dataset == name for row in ((cell(one.generator), *r) for r in one.table.rows)
        ]
        numbers = Table(
            f"Copies on {name} ({where})", ("generator", "training images", "copies", "by chance"), tuple(rows)
        )
        shown.append(
            Figure(name, caption("decay_with_size"), charts.decay(fits["ln_size"], name, where), table=numbers)
        )

    shots = [
        Figure(f"{generator} on {name}", caption("one_shot", dataset=name), charts.one_shot(generator, about, wanted),
               table=_trial_table(generator, about))
        for name, estimate in estimates.items()
        for generator, about in estimate["generators"].items()
    ]  # fmt: skip
    more = [Part("The smallest safe set, and its trial", choices=(Choice("generator", tuple(shots)),), folded=True)]
    dimensional = []
    for name in study.replicated:
        points = study.json(f"complexity/{name}/curve.json")["points"]
        if (chart := charts.dimension(points, name, study.config["complexity"]["neighbours"])) is not None:
            dimensional.append(Figure(f"{name}: the dimension", caption("dimension", dataset=name), chart))
        if "dimension" in fits and any(pair[1] == name for pair in fits["dimension"]):
            law = charts.decay(fits["dimension"], name, where)
            dimensional.append(Figure(f"{name}: copies against it", caption("decay_with_dimension"), law))
    if dimensional:
        more.append(
            Part("Complexity: the intrinsic dimension", choices=(Choice("figure", tuple(dimensional)),), folded=True)
        )
    qualities = [
        Figure(
            f"{name} in {space}", caption("quality", space=space), charts.quality(table[table["space"] == space], name)
        )
        for name in study.replicated
        for space in settings["spaces"]
    ]
    more.append(
        Part(
            "Quality and variety of the samples", choices=(Choice("data set and space", tuple(qualities)),), folded=True
        )
    )
    frame, text = _first(table, "Every measurement of replication", "replication/table.csv")
    columns = {
        "generator": "generator", "dataset": "data set", "size": "training images", "seed": "seed", "space": "space",
        "threshold": "threshold", "threshold_rms": "distance", "percentage": "copies, %", "low": "low", "high": "high",
        "background_percentage": "by chance, %", "excess_percentage": "excess, points", "excess_low": "excess, low",
        "excess_high": "excess, high", "frechet": "Fréchet distance", "intrinsic_dimension": "intrinsic dimension",
    }  # fmt: skip
    more.append(Part("Every measurement", tables=(from_frame(text, frame, columns),), folded=True))

    # An answer also says how it was measured and what to do, which have places of their own here.
    answers = [line for estimate in estimates.values() for line in estimate["answer"]]
    to_do = [line.removeprefix(TO_DO) for line in answers if line.startswith(TO_DO)]
    how = [line for line in answers if line.startswith(MEASURED)]
    return Story(
        name="replication",
        question="Will a generator copy my images?",
        idea="A sample is a copy if it lies nearer to a training image than images do that the generator never saw. "
        "Small training sets are copied, large ones are not; the question is from which size on yours is safe.",
        headlines=tuple(
            _safe_headline(f"{generator}" + (f", {name}" if len(estimates) > 1 else ""), about)
            for name, estimate in estimates.items()
            for generator, about in estimate["generators"].items()
        ),
        answer=_lines(line for line in answers if not line.startswith((TO_DO, MEASURED))),
        picture=(Choice("data set", tuple(shown)),),
        measured=(
            f"{_were(settings['generators'])} trained on "
            + "; ".join(f"{_listed(part['sizes'])} images of {name}" for name, part in settings["datasets"].items())
            + f", nested subsets, with {_count(len(settings['seeds']), 'seed')}: "
            f"{_count(_trained(table), 'training')}.",
            *how,
            f"Of each, {settings['samples']:,} samples were compared with every training image by exact search, in "
            f"{_listed(settings['spaces'])}. A copy is a sample within the threshold {label} of a training image: a "
            f"root-mean-square difference of {distance:.4f} (median over the runs), 0 being equal.",
            "The control: "
            + "; ".join(f"{study.config['datasets'][name]['held_out']:,} images of {name}" for name in study.replicated)
            + " that no generator saw were searched in the same way. What they show is chance.",
        ),
        certainty=_certainty_of_copies(study, estimates, fits),
        following=(*(one[0].upper() + one[1:] for one in to_do), *_following_copies(study, estimates)),
        more=tuple(more),
    )


def _trained(table: pd.DataFrame) -> int:
    return len(table.drop_duplicates(["generator", "dataset", "size", "seed"]))


def _safe_headline(thing: str, about: dict[str, Any]) -> Headline:
    safe = about["smallest_safe_size"]
    if not about["reason"]:
        high = "no upper end" if safe["high"] is None else f"{safe['high']:,.0f}"
        return Headline(
            thing, f"{safe['size']:,.0f} images", f"smallest safe set; 95 % interval {safe['low']:,.0f} to {high}"
        )
    if about["measured_enough"] is not None:
        return Headline(
            thing, f"{about['measured_enough']:,.0f} images", "smallest measured size that was safe; no law"
        )
    return Headline(thing, "not known", "no safe size was measured, and no law is identified")


def _trial_table(generator: str, about: dict[str, Any]) -> Table:
    rows = tuple(
        (
            cell({"one_shot": "the smallest size", "leave_one_out": "all other sizes"}[one["trial"]]),
            cell(one["size"]),
            interval(one["measured"], one["measured_low"], one["measured_high"], unit=" %"),
            cell(None) if one["reason"] else interval(one["predicted"], one["low"], one["high"], unit=" %"),
            cell(one["reason"] or ("yes" if one["inside"] else "no")),
        )
        for one in about["trials"]
    )
    header = ("predicted from", "training images", "measured beyond chance", "predicted", "holds")
    return Table(f"Trial of the estimate for {generator}", header, rows)


def _certainty_of_copies(
    study: Study, estimates: dict[str, Any], fits: dict[str, dict[Pair, DecayFit]]
) -> tuple[str, ...]:
    settings = study.config["replication"]
    every = fits["ln_size"].values()
    identified = sum(fit.identified for fit in every)
    lines = [
        f"A law of decay is identified for {identified} of {len(every)} pairs of generator and data set; where it is "
        "not, none is drawn, and no safe size is extrapolated."
    ]
    trials = [one for found in estimates.values() for about in found["generators"].values() for one in about["trials"]]
    made = [one for one in trials if not one["reason"]]
    if made:
        inside, error = sum(one["inside"] for one in made), np.median([one["error"] for one in made])
        lines.append(
            f"Sizes were predicted without their own measurement: {inside} of {len(made)} predictions agree with what "
            f"was measured, median error {error:.1f} points."
        )
    lines.append(_seeds(len(settings["seeds"]), settings["samples"]))
    return tuple(lines)


def _seeds(seeds: int, samples: int) -> str:
    here = "there is one" if seeds == 1 else f"there are {seeds}"
    return (
        f"Intervals of single shares come from counting {samples:,} samples. How much one training differs from "
        f"another shows only over seeds, and here {here}."
    )


def _following_copies(study: Study, estimates: dict[str, Any]) -> tuple[str, ...]:
    settings, lines = study.config["replication"], []
    if len(settings["seeds"]) < 3:
        lines.append("Run three seeds (config key replication.seeds): the trainings that exist are kept.")
    for name, estimate in estimates.items():
        largest = max(settings["datasets"][name]["sizes"])
        for generator, about in estimate["generators"].items():
            safe = about["smallest_safe_size"]
            if not about["reason"] and safe["size"] > largest:
                lines.append(
                    f"Train {generator} on {safe['size']:,.0f} images of {name} to see whether the estimate holds."
                )
            elif about["reason"] and about["measured_enough"] is None:
                lines.append(
                    f"Measure {generator} at more sizes of {name}, above {largest:,} as well as between those of now "
                    f"(replication.datasets.{name}.sizes)."
                )
    lines.append("Look at the nearest pairs below before you trust a number: the threshold can be moved there.")
    return tuple(lines)


# Rebalancing


def rebalancing(study: Study) -> Story | None:
    if not study.similar:
        return None
    advice = {name: study.json(f"advice/{name}.json") for name in study.similar}
    maps = []
    for name in study.similar:
        found = study.json(f"similarity/{name}.json")
        order = cluster_order(np.array(found["matrix"], dtype=float))
        maps.append(
            Figure(
                name,
                caption("similarity", dataset=name),
                charts.similarity(found, order),
                table=_similarity_table(found),
            )
        )
    picture: tuple[Choice, ...] = (Choice("data set", tuple(maps)),)
    measured = [
        f"{name}: {found['definition']}; {found['pairs']:,} pairs {'(all)' if found['exact'] else '(a sample)'} at "
        f"{found['resolution']} px."
        for name in study.similar
        for found in [study.json(f"similarity/{name}.json")]
    ]
    more: list[Part] = []
    certainty = [
        f"{name}: " + one.removeprefix("How sure: ")
        for name, given in advice.items()
        for one in given["lines"]
        if one.startswith("How sure: ")
    ]
    if study.rebalanced:
        settings = study.config["rebalancing"]
        picture = (Choice("measure and classes", tuple(_gain_figures(study))), *picture)
        arms = list(dict.fromkeys(study.improvements["arm"]))
        measured.append(
            f"{'A long-tailed set was drawn' if settings['imbalance'] else 'The set is long-tailed by nature'}, and a "
            f"classifier was trained on it as it is and in {len(arms)} other ways "
            f"({_listed(arms)}), each for the same number of steps, with {_count(len(settings['seeds']), 'seed')}. "
            "All were tested on the same balanced held-out images; gains are paired over seeds."
        )
        certainty += _certainty_of_gains(study)
        more += _gain_parts(study)
    return Story(
        name="rebalancing",
        question="Will synthetic images help my rare classes?",
        idea="Rare classes can be filled up with images from a generator. Simpler remedies (repeating the rare images, "
        "weighing their loss) cost one training, so a generator pays only if it beats the best of them; and the more "
        "alike the classes are, the less it is expected to.",
        headlines=tuple(_advice_headline(name if len(advice) > 1 else "", given) for name, given in advice.items()),
        answer=_lines(line for given in advice.values() for line in given["lines"] if not line.startswith("How sure")),
        picture=picture,
        measured=tuple(measured),
        certainty=tuple(certainty),
        following=tuple(_following_advice(name, given) for name, given in advice.items()),
        more=tuple(more),
    )


def _similarity_table(found: dict[str, Any]) -> Table:
    names = found["classes"]
    rows = tuple(
        (cell(name), *(cell(value, ".3f") for value in row)) for name, row in zip(names, found["matrix"], strict=True)
    )
    return Table(f"Mean SSIM of pairs of images of {found['dataset']}, by class", ("class", *names), rows)


def _gain_figures(study: Study) -> list[Figure]:
    found, shown = study.improvements, []
    first = [key for key in COLUMNS if key[0] == "balanced_accuracy"]
    for dataset, group in dict.fromkeys(tuple(name.split("/", 1)) for name in found["group"]):
        for key in [*first, *(key for key in COLUMNS if key not in first)]:
            rows = found[
                (found["group"] == f"{dataset}/{group}") & (found["measure"] == key[0]) & (found["part"] == key[1])
            ]
            if not len(rows):
                continue
            table = Table(
                f"Gain in {COLUMNS[key]} over the original set, points: {dataset}, {group}",
                ("way", "gain", "p (two-sided)", "seeds"),
                tuple(
                    (cell(row["arm"]), interval(row["gain"], row["low"], row["high"], "+.1f"),
                     cell(row["p_value"], ".2g"), cell(int(row["seeds"])))
                    for row in rows.to_dict("records")
                ),
            )  # fmt: skip
            chart = charts.gains(rows, study.synthetic_arms, COLUMNS[key])
            shown.append(
                Figure(
                    f"{COLUMNS[key]}: {dataset}, {group}",
                    caption("gains", dataset=dataset, group=group),
                    chart,
                    table=table,
                )
            )
    return shown


def _certainty_of_gains(study: Study) -> list[str]:
    over = study.over_baselines
    rows = over[(over["measure"] == "balanced_accuracy") & over["group"].str.endswith("/all")]
    lines = []
    for row in rows.to_dict("records"):
        ends = (
            "one seed gives no interval" if not np.isfinite(row["low"]) else f"{row['low']:+.1f} to {row['high']:+.1f}"
        )
        lines.append(
            f"{row['group'].split('/')[0]}: {row['arm']} against the best simpler method ({row['baseline']}): "
            f"{row['gain']:+.1f} points of balanced accuracy ({ends})."
        )
    law = study.json("gain_law/law.json")
    about = law["laws"][law["leading"]]
    points = len(study.csv("gain_law/points.csv").query("arm == @law['leading']"))
    said = "is identified" if about["identified"] else f"is not identified: {about['reason']}"
    return [
        *lines,
        f"The law by which gains fall with class similarity, from {_count(points, 'group')} of classes, {said}.",
    ]


def _gain_parts(study: Study) -> list[Part]:
    law = study.json("gain_law/law.json")
    points = study.csv("gain_law/points.csv")
    points = points[points["arm"] == law["leading"]]
    fitted = fit_gain_law(GainPoints.of(points))
    chart = charts.gain_law(fitted) if len(fitted.points.gain) else None
    unseen = () if chart else (_marked(f"Nothing can be drawn: {fitted.reason}."),)
    table = from_frame(
        f"Similarity and gain of each group of classes ({law['leading']})", points,
        {"group": "classes", "similarity": "similarity", "similarity_se": "its standard error", "gain": "gain, points",
         "gain_se": "its standard error", "seeds": "seeds"}, ["", ".3f", ".3f", "+.1f", ".1f", ""],
    )  # fmt: skip
    counted = []
    choice = study.synthetic_arms[-1].replace(".", "/", 1)
    seed = study.config["rebalancing"]["seeds"][0]
    for dataset, group in dict.fromkeys(tuple(name.split("/", 1)) for name in study.improvements["group"]):
        cell_of = f"rebalancing/{dataset}/{group}/seed-{seed}"
        counts, chosen = study.json(f"{cell_of}/counts.json"), study.csv(f"{cell_of}/synthetic/{choice}/report.csv")
        numbers = (np.array(one) for one in (counts["counts"], chosen["found"], counts["wanted"]))
        counted.append(
            Figure(
                f"{dataset}, {group}",
                caption("counts", dataset=dataset, group=group),
                charts.class_counts(counts["classes"], *numbers),
            )
        )
    frame, text = _first(study.over_baselines, "Gains over the best simpler method", "rebalancing/over_baselines.csv")
    columns = {
        "group": "classes", "arm": "way", "measure": "measure", "part": "part", "baseline": "best simpler method",
        "gain": "gain, points", "low": "low", "high": "high", "p_value": "p (one-sided)",
    }  # fmt: skip
    forms = ["", "", "", "", "", "+.1f", "+.1f", "+.1f", ".2g"]
    return [
        Part(
            "Gain against class similarity",
            unseen,
            choices=(Choice("", (Figure("", caption("gain_law"), chart, table=table),)),),
            folded=True,
        ),
        Part("Images of each class", choices=(Choice("classes", tuple(counted)),), folded=True),
        Part("Every comparison with simpler methods", tables=(from_frame(text, frame, columns, forms),), folded=True),
    ]


def _advice_headline(thing: str, given: dict[str, Any]) -> Headline:
    gain = given["measured_gain"]
    over = gain and gain["over_best"]
    beaten = over and over["high"] is not None and over["high"] < 0
    simpler = f"{gain['baseline']} does {'better' if beaten else 'as well'}" if gain else "a simpler method"
    value = {
        "generator": "yes" + (f": {gain['arm']}" if gain else ""),
        "simpler": f"no: {simpler}",
        "leave": "no: leave the set as it is",
        "unknown": "open",
    }[given["recommendation"]]
    if gain is None:
        return Headline(thing or "a generator for rare classes", value, f"class similarity {given['similarity']:.3f}")
    ends = (
        "one seed, no interval" if over["low"] is None else f"95 % interval {over['low']:+.1f} to {over['high']:+.1f}"
    )
    return Headline(
        thing or "a generator for rare classes", value,
        f"{over['gain']:+.1f} points of balanced accuracy over the best simpler way ({ends})",
    )  # fmt: skip


def _following_advice(name: str, given: dict[str, Any]) -> str:
    gain = given["measured_gain"]
    if given["recommendation"] == "generator":
        arm = gain["arm"] if gain else "a generator beside the simpler methods"
        return f"{name}: use {arm}, and look for copies of its few images by a replication study of their own."
    if given["recommendation"] == "simpler":
        return f"{name}: train with {gain['baseline'] if gain else 'a simpler method'}; it costs one training."
    if given["recommendation"] == "leave":
        return f"{name}: train on the set as it is."
    return f"{name}: take the cheapest method that helped, and add seeds (rebalancing.seeds) before you decide."


# Distillation


def distillation(study: Study) -> Story | None:
    if not study.distilled:
        return None
    settings = study.config["distillation"]
    diagnoses = {name: study.json(f"diagnosis/{name}.json") for name in study.distilled}
    tests = study.csv("distillation/trends.csv")
    verdicts = {
        row["y"]: f"{row['verdict']}: rho {row['coefficient']:+.2f}, p {row['p_adjusted']:.2g}"
        for row in tests[(tests["x"] == "strength") & tests["coefficient"].notna()].to_dict("records")
    }
    shown = [
        Figure(
            RESPONSES[response].replace("\n", " "), caption("trends"), charts.trends(study.students, response, verdicts)
        )
        for response in RESPONSES
    ]
    overlays = [
        Figure(
            name, caption("attention", dataset=name),
            pictures=(Picture(pictures.drawn(study.folder / f"figures/attention/{name}.png"),
                              _attention_text(name, given)),),
        )
        for name, given in diagnoses.items()
    ]  # fmt: skip
    settled = int((tests["verdict"] != "not settled").sum())
    found = study.answer("distillation/trends.md")
    spelled = {name: WORDS.get(name, name.replace("_", " ")) for name in {*tests["x"], *tests["y"], *RESPONSES}}
    settled_lines = [line for line in found[1:] if "not settled" not in line]
    columns = {
        "x": "of", "y": "with", "published": "published sign", "coefficient": "rho", "low": "low", "high": "high",
        "p_adjusted": "p, corrected", "verdict": "verdict", "reason": "why not settled",
    }  # fmt: skip
    trend_table = from_frame(
        "Trends, tested together (results/distillation/trends.csv)",
        tests.fillna({"reason": ""}).replace({"x": spelled, "y": spelled}), columns,
        ["", "", "+.0f", "+.2f", "+.2f", "+.2f", ".2g", "", ""],
    )  # fmt: skip
    frame, text = _first(study.students, "Every student", "distillation/table.csv")
    about = {
        "dataset": "data set", "seed": "seed", "ensemble": "teachers", "view": "student's view", "accuracy": "accuracy",
        "gap": "overfitting", "agreement": "agreement", "kl": "divergence", "mutual_information": "mutual information",
        "teachers_iou": "attention overlap",
    }  # fmt: skip
    students = from_frame(text, frame, {key: name for key, name in about.items() if key in frame}, ".3g")
    factors = study.csv("distillation/two_factors.csv").replace({"response": spelled, "factor": FACTORS})
    effects = from_frame(
        "Effects of the teachers' and of the student's augmentation, from weakest to strongest "
        "(results/distillation/two_factors.csv)", factors,
        {"response": "response", "factor": "factor", "effect": "effect", "low": "low", "high": "high", "p_value": "p"},
        ["", "", "+.3g", "+.3g", "+.3g", ".2g"],
    )  # fmt: skip
    following = [f"{name}: distil from {_listed(given['distil_from'])}." for name, given in diagnoses.items()]
    if settled < len(tests):
        following.append(
            f"{len(tests) - settled} of {len(tests)} trends are not settled: more seeds (distillation.seeds) and more "
            "rungs of augmentation among the ensembles would settle them first."
        )
    return Story(
        name="distillation",
        question="What should a student learn from its teachers?",
        idea="A student network learns from an ensemble of teachers. The stronger their augmentation, the more "
        "differently they are said to look at images, the less faithfully the student follows them, and the better it "
        "generalises.",
        headlines=(
            *(
                Headline(
                    "distil from" + (f" ({name})" if len(diagnoses) > 1 else ""),
                    _listed(given["distil_from"]),
                    f"{_count(len(given['teachers']), 'teacher')} compared on validation images",
                )
                for name, given in diagnoses.items()
            ),
            Headline("published trends", f"{settled} of {len(tests)} settled", f"by {_runs(study)}"),
        ),
        answer=_lines([*(line for given in diagnoses.values() for line in given["answer"]), found[0], *settled_lines]),
        picture=(Choice("what is compared", tuple(shown)),),
        measured=(
            _taught(settings),
            f"Attention: the method {settings['attention']['method']}, as masks of what exceeds "
            f"{settings['attention']['threshold']:g} of its range; their overlap is the IoU of pairs of teachers. "
            "Fidelity is the share of images on which student and teachers agree.",
        ),
        certainty=(
            f"{settled} of {len(tests)} published trends are settled by {_runs(study)}: an ensemble of one seed counts "
            "as one run, and p-values are corrected for all trends.",
            "A trend that is not settled is not refuted: these runs are too few to show it.",
        ),
        following=tuple(following),
        more=(
            Part("What the teachers look at", choices=(Choice("data set", tuple(overlays)),)),
            Part("Trends and effects", _lines(found), tables=(trend_table, effects), folded=True),
            Part("Every student", tables=(students,), folded=True),
        ),
    )


def _taught(settings: dict[str, Any]) -> str:
    """How teachers and students were trained."""
    own, named = settings["checkpoints"], {one for ensemble in settings["ensembles"] for one in ensemble}
    rungs = _listed(sorted(named - {*own})) if named - {*own} else ""
    parts = [f"were trained on {settings['training'] or 'all'} images with the augmentations {rungs}"] if rungs else []
    parts += [f"were taken as they are ({_listed(own)})"] if own else []
    views = f"the view{'s' if len(settings['views']) > 1 else ''} {_listed(settings['views'])}"
    return (
        f"Teachers {' or '.join(parts)}, in {_count(len(settings['ensembles']), 'ensemble')}; students learned from "
        f"each ensemble under {views}, with {_count(len(settings['seeds']), 'seed')}, and beside them students without "
        "teachers."
    )


def _runs(study: Study) -> str:
    taught = study.students[study.students["teachers"] > 0]
    return _count(len(taught.drop_duplicates(["dataset", "seed", "ensemble"])), "run")


def _attention_text(name: str, given: dict[str, Any]) -> str:
    iou = np.array(given["iou"], dtype=float)
    apart = iou[np.triu_indices(len(iou), 1)]
    overlap = f" Two teachers overlap with IoU {apart.mean():.2f} on average." if len(apart) else ""
    return f"Attention maps of the teachers {_listed(given['teachers'])} over validation images of {name}.{overlap}"


# What belongs to no single question


def published(study: Study) -> Part:
    """The published figures through the same code."""
    table = headlines.published(study.csv("published/fits.csv"), study.csv("published/leave_one_out.csv"))
    drawn = [
        Figure(label, caption(name), pictures=(Picture(pictures.drawn(study.folder / f"figures/{name}.svg"), told),))
        for name, label, told in (
            ("published_law", "decay law", "Published percentages of replicas against intrinsic dimension, with laws."),
            ("published_leave_one_out", "one-shot predictions", "Published percentages, and predictions of them."),
            ("published_quality", "image quality", "Published Fréchet distances and human ratings against size."),
        )
    ]
    text = (_marked(f"{table.caption}. {headlines.PUBLISHED}"),)
    return Part("Against the published figures", text, (Choice("figure", tuple(drawn)),), (table,))


def training(study: Study) -> Part | None:
    """Samples over training, and the losses."""
    settings = study.config["replication"]
    strips, losses = [], []
    for name in study.replicated:
        sizes = settings["datasets"][name]["sizes"]
        for generator in settings["generators"]:
            label = f"{generator} on {name}"
            wildcards = {"generator": generator, "dataset": name}
            folders = [study.folder / "generators" / study.run_of(generator, name, size) for size in sizes]
            shown = []
            for size, folder in zip(sizes, folders, strict=True):
                source, moments = pictures.training_strip(folder / "snapshots.npy")
                told = (
                    f"Sixteen samples of {generator}, trained on {size:,} images of {name}, at {moments} moments of "
                    "training."
                )
                shown.append(Picture(source, told, True, f"{size:,} training images"))
            strips.append(Figure(label, caption("training_samples", **wildcards), pictures=tuple(shown)))
            curves = {
                size: [read_csv(folder.parent / f"seed-{seed}/training.csv") for seed in settings["seeds"]]
                for size, folder in zip(sizes, folders, strict=True)
            }
            losses.append(
                Figure(label, caption("training_curves", **wildcards), charts.training(curves, generator, name))
            )
    if not strips:
        return None
    return Part(
        "How the generators learned",
        choices=(Choice("samples over training", tuple(strips)), Choice("training curves", tuple(losses))),
    )


def stories(study: Study) -> list[Story]:
    """The stories of the questions that the study asked, in the order of the workflow."""
    asked: Sequence[Story | None] = (replication(study), rebalancing(study), distillation(study))
    return [one for one in asked if one is not None]
