"""Test what goes with the teachers' augmentation, and draw it. Rule: find_trends."""

from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.classifiers.presets import LADDER
from workflow_scripts.core import figures
from workflow_scripts.core.files import read_csv, write_csv, write_text
from workflow_scripts.core.job import run
from workflow_scripts.distillation.trends import Trend, trend_table, two_factors

RESPONSES = {
    "iou": "attention overlap\nof the teachers (IoU)",
    "agreement": "fidelity: agreement\nwith the teachers",
    "mutual_information": "mutual information\nwith the teachers, nats",
    "gap": "overfitting: training\nminus validation accuracy",
    "accuracy": "validation\naccuracy",
}
BASELINES: dict[str, tuple[Literal[":", "--"], str]] = {
    "alone": (":", "student without teachers"),
    "smoothed": ("--", "the same, labels smoothed"),
}
WORDS = {"strength": "augmentation of the teachers", "kl": "divergence from the teachers"}


def distilled_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Independent runs: of each data set, seed and ensemble the mean over the students' views, which share teachers."""
    students = table[table["teachers"] > 0].rename(columns={"teachers_iou": "iou"})
    students = students.assign(block=students["dataset"] + "/" + students["seed"].astype(str))
    columns = ["strength", "kl", *RESPONSES]
    return students.groupby(["block", "ensemble"], sort=False)[columns].mean().reset_index()


def draw_trends(table: pd.DataFrame, trends: list[Trend]) -> Figure:
    """A panel for each response against the teachers' strength: a point for each student, lines join the means."""
    students = table[table["teachers"] > 0].rename(columns={"teachers_iou": "iou"})
    views = sorted(set(table["view"]), key=LADDER.index)
    styles = dict(zip(views, (figures.Style("#0072B2", "o"), figures.Style("#D55E00", "s"),
                              figures.Style("#009E73", "^"), figures.Style("#CC79A7", "D")), strict=False))  # fmt: skip
    verdicts = {trend.y: trend for trend in trends if trend.x == "strength"}
    figure = Figure(figsize=(2.5 * len(RESPONSES), 3.4), layout="constrained")
    grid = figure.subplots(1, len(RESPONSES), squeeze=False)[0]
    for axes, (response, label) in zip(grid, RESPONSES.items(), strict=True):
        for place, view in enumerate(views):
            part = students[students["view"] == view]
            aside = 0.05 * (place - (len(views) - 1) / 2)
            axes.plot(
                part["strength"] + aside, part[response], styles[view].marker, color=styles[view].colour, alpha=0.45,
                markersize=4,
            )  # fmt: skip
            means = part.groupby("strength")[response].mean()
            axes.plot(means.index + aside, means, color=styles[view].colour)
        if response in ("gap", "accuracy"):
            for view, (baseline, (line, _)) in product(views, BASELINES.items()):
                level = table[(table["ensemble"] == baseline) & (table["view"] == view)][response].mean()
                axes.axhline(level, color=styles[view].colour, linestyle=line, linewidth=1)
        trend = verdicts.get(response)
        if trend is not None:
            found = trend.correlation
            what = f"rho {found.coefficient:+.2f}, p {trend.p_adjusted:.2g}" if np.isfinite(found.coefficient) else ""
            text = f"{what}\n{trend.verdict}"
            figures.coloured_lines(axes, "", [(line, "#222222") for line in text.split("\n")])
        axes.set_ylabel(label)
        axes.set_xlabel("teachers' augmentation")
        axes.set_xticks(range(len(LADDER)), LADDER, rotation=30, ha="right")
        # Mixed ensembles lie between two rungs: both are named.
        axes.set_xlim(np.floor(students["strength"].min()) - 0.3, np.ceil(students["strength"].max()) + 0.3)
    handles = [Line2D([], [], color=styles[view].colour, marker=styles[view].marker, label=f"student's view: {view}")
               for view in views]  # fmt: skip
    handles += [Line2D([], [], color=figures.CONTROL, linestyle=line, label=what) for line, what in BASELINES.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def drawn_students(table: pd.DataFrame) -> pd.DataFrame:
    """What the figure shows: a row for each student, those without teachers included, with every response."""
    columns = ["dataset", "seed", "ensemble", "view", "strength", *RESPONSES]
    return table.rename(columns={"teachers_iou": "iou"})[columns]


def factor_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Effects of the teachers' and of the student's view on every response, over all distilled students."""
    students = table[table["teachers"] > 0].rename(columns={"teachers_iou": "iou"})
    block = (students["dataset"] + "/" + students["seed"].astype(str)).to_numpy()
    rows = []
    for response in RESPONSES:
        found = two_factors(
            students[response].to_numpy(), students["strength"].to_numpy(), students["view_strength"].to_numpy(), block
        )
        for name, effect in vars(found).items():
            if hasattr(effect, "p_value"):
                rows.append({"response": response, "factor": name, **vars(effect)})
    return pd.DataFrame(rows)


def answer(trends: list[Trend], runs: pd.DataFrame) -> list[str]:
    """What came out, a line for each trend with the teachers' augmentation, and one for the rest."""
    lines = [
        f"Runs: {len(runs)} (ensembles times seeds); p-values by permutation within seeds, corrected for {len(trends)} "
        "trends (Holm)."
    ]
    if runs["strength"].nunique() < 2:
        lines.append("All ensembles are of one strength of augmentation, so that no trend with it can be told.")
    for trend in trends:
        if trend.x == "strength":
            if np.isnan(trend.correlation.coefficient):
                continue
            direction = "rises" if trend.correlation.coefficient > 0 else "falls"
            settled = "" if trend.verdict != "not settled" else f": {trend.reason}"
            what = WORDS.get(trend.y, trend.y).replace("_", " ")
            lines.append(
                f"With stronger augmentation of the teachers, {what} {direction} "
                f"(rho {trend.correlation.coefficient:+.2f}, p {trend.p_adjusted:.2g}), {trend.verdict}{settled}."
            )
    return lines


def main(snakemake: Any) -> None:
    table = read_csv(snakemake.input[0]).copy()  # in one piece: as read, so wide a table is one of many
    runs = distilled_runs(table)
    columns = {name: runs[name].to_numpy(float) for name in ("strength", "kl", *RESPONSES)}
    trends = trend_table(columns, runs["block"].to_numpy())
    rows = [
        {"x": one.x, "y": one.y, "published": one.published, **vars(one.correlation), "p_adjusted": one.p_adjusted,
         "verdict": one.verdict, "reason": one.reason} for one in trends
    ]  # fmt: skip
    write_csv(snakemake.output.trends, pd.DataFrame(rows))
    write_csv(snakemake.output.factors, factor_rows(table))
    write_text(snakemake.output.answer, "\n".join(f"- {line}" for line in answer(trends, runs)) + "\n")
    description = (
        f"{len(RESPONSES)} panels: how measurements of the students change with the augmentation of their teachers, "
        "a point for each student and a line through the means."
    )
    figures.save_figure(draw_trends(table, trends), snakemake.output.svg, drawn_students(table), description)


if __name__ == "__main__":
    run(main, snakemake)
