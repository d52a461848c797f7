"""Write the headline numbers of the study as Markdown: what was measured, what it means. Rule: summarise."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.files import read_csv, read_json, write_text
from workflow_scripts.intervals import wilson
from workflow_scripts.job import run


def markdown_table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table whose columns also line up in a terminal; all but the first are set flush right."""
    body = list(rows)
    cells = [header, *body]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row: list[str]) -> str:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join([first, *others])} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([line(header), f"|{rule}|", *map(line, body)])


def percentage(value: float, low: float, high: float) -> str:
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def replication_lines(table: pd.DataFrame, laws: dict[str, Any]) -> list[str]:
    """For each generator and data set: copies at each size, seeds pooled, at the leading threshold; and the law."""
    leading = laws["leading"]
    chosen = table[(table["space"] == leading["space"]) & (table["threshold"] == leading["threshold"])]
    lines = []
    for (generator, dataset), part in chosen.groupby(["generator", "dataset"], sort=False):
        pooled = part.groupby("size").agg(
            {"replicas": "sum", "samples": "sum", "background_percentage": "mean", "seed": "nunique"}
        )
        low, high = wilson(pooled["replicas"], pooled["samples"])
        share = 100 * pooled["replicas"] / pooled["samples"]
        seeds = pooled["seed"].max()
        lines += [
            f"### {generator} on {dataset}",
            "",
            f"Samples that copy a training image ({leading['space']}, {leading['threshold']}; {seeds} seed(s) "
            "pooled; 95 % intervals of counting samples):",
            "",
            markdown_table(
                ["training images", "copies", "by chance"],
                [
                    [f"{size:,}", percentage(s, 100 * a, 100 * b), f"{chance:.1f} %"]
                    for size, s, a, b, chance in zip(
                        pooled.index, share, low, high, pooled["background_percentage"], strict=True
                    )
                ],
            ),
            "",
            *safe_size_lines(laws, str(generator), str(dataset)),
            "",
        ]
    return lines


def safe_size_lines(laws: dict[str, Any], generator: str, dataset: str) -> list[str]:
    """What the leading law of size says, or why there is none."""
    wanted = {**laws["leading"], "generator": generator, "dataset": dataset, "axis": "ln_size"}
    found = [one for one in laws["safe_sizes"] if all(one[key] == wanted[key] for key in wanted)]
    if not found or found[0]["size"] is None:
        reason = found[0]["reason"] if found else "too few measurements"
        return [f"No law of decay with size is identified: {reason}."]
    safe = found[0]
    ends = [f"{end:,.0f}" if end is not None else "no size measured here" for end in (safe["low"], safe["high"])]
    beyond = f" This lies beyond the {safe['extrapolated']}: take it as a rough guide." if safe["extrapolated"] else ""
    return [
        f"Copying beyond chance falls to {laws['wanted_percentage']:g} % at **{safe['size']:,.0f} training images** "
        f"(95 % interval {ends[0]} to {ends[1]}).{beyond}"
    ]


def published_lines(fits: pd.DataFrame, left_out: pd.DataFrame) -> list[str]:
    """The published figures, fitted by the same code: goodness of each pair's law and of its one-shot prediction."""

    def at_8000(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[table["threshold_l2_255"] == 8000]
        return rows[rows["points"] == "main"]

    pairs = at_8000(fits).merge(at_8000(left_out), on=["generator", "dataset"], suffixes=("", "_left_out"))
    rows = [
        [
            f"{pair['generator']}, {pair['dataset']}",
            f"{pair['r2']:.4f}",
            f"{pair['median_absolute_error']:.2f}",
            f"{pair['median_absolute_error_left_out']:.2f}",
            "yes" if pair["identified"] else "no",
        ]
        for pair in pairs.to_dict("records")
    ]
    header = ["pair", "R2", "median error", "left out, one shot", "identified"]
    return [
        "### Published figures (Feng et al. 2021, threshold 8000)",
        "",
        "Least squares as published; errors in points of percentage:",
        "",
        markdown_table(header, rows),
    ]


def answer_lines(title: str, paths: Iterable[str]) -> list[str]:
    """The answers that other rules have written as Markdown lists, under one title."""
    answers = [Path(path).read_text(encoding="utf-8").strip() for path in paths]
    return [f"### {title}", "", *answers, ""] if answers else []


def main(snakemake: Any) -> None:
    lines: list[str] = []
    if snakemake.input.table:
        lines += replication_lines(read_csv(snakemake.input.table), read_json(snakemake.input.laws))
    lines += answer_lines("Smallest safe training set", snakemake.input.one_shot)
    lines += answer_lines("Rebalance with synthetic images?", snakemake.input.advice)
    trends = [snakemake.input.trends] if snakemake.input.trends else []
    lines += answer_lines("What goes with the teachers' augmentation", trends)
    lines += answer_lines("Whom to distil from", snakemake.input.diagnosis)
    lines += published_lines(read_csv(snakemake.input.published), read_csv(snakemake.input.leave_one_out))
    write_text(snakemake.output[0], "\n".join(["## Copycat: headline numbers", "", *lines]) + "\n")


run(main, snakemake)
