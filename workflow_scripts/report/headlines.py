"""The headline numbers of a study, in words and tables: what the summary and the report both say."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from workflow_scripts.core.intervals import wilson
from workflow_scripts.report.tables import Cell, Table, cell, interval


@dataclass(frozen=True)
class Copies:
    """How often one generator copied one data set: a sentence, the shares at each size, and what the law says."""

    generator: str
    dataset: str
    sentence: str
    table: Table
    law: str


def leading_rows(table: pd.DataFrame, laws: dict[str, Any]) -> pd.DataFrame:
    """The rows of the study's table at the space and threshold that lead figures and laws."""
    leading = laws["leading"]
    return table[(table["space"] == leading["space"]) & (table["threshold"] == leading["threshold"])]


def copies(table: pd.DataFrame, laws: dict[str, Any]) -> list[Copies]:
    """For each generator and data set: copies at each size, seeds pooled, at the leading threshold; and the law.

    table: that of collect_replication; laws: what fit_decay wrote.
    """
    leading = laws["leading"]
    found = []
    for (generator, dataset), part in leading_rows(table, laws).groupby(["generator", "dataset"], sort=False):
        pooled = part.groupby("size").agg(
            {"replicas": "sum", "samples": "sum", "background_percentage": "mean", "seed": "nunique"}
        )
        low, high = wilson(pooled["replicas"], pooled["samples"])
        share = 100 * pooled["replicas"] / pooled["samples"]
        rows = tuple(
            (cell(size), interval(s, 100 * a, 100 * b, unit=" %"), Cell(f"{chance:.1f} %", chance))
            for size, s, a, b, chance in zip(
                pooled.index, share, low, high, pooled["background_percentage"], strict=True
            )
        )
        sentence = (
            f"Samples that copy a training image ({leading['space']}, {leading['threshold']}; "
            f"{pooled['seed'].max()} seed(s) pooled; 95 % intervals of counting samples):"
        )
        found.append(
            Copies(
                str(generator),
                str(dataset),
                sentence,
                Table(f"Copies of {generator} on {dataset}", ("training images", "copies", "by chance"), rows),
                safe_size(laws, str(generator), str(dataset)),
            )
        )
    return found


def safe_size(laws: dict[str, Any], generator: str, dataset: str) -> str:
    """What the leading law of size says, or why there is none."""
    wanted = {**laws["leading"], "generator": generator, "dataset": dataset, "axis": "ln_size"}
    found = [one for one in laws["safe_sizes"] if all(one[key] == wanted[key] for key in wanted)]
    if not found or found[0]["size"] is None:
        reason = found[0]["reason"] if found else "too few measurements"
        return f"No law of decay with size is identified: {reason}."
    safe = found[0]
    ends = [f"{end:,.0f}" if end is not None else "no size measured here" for end in (safe["low"], safe["high"])]
    beyond = f" This lies beyond the {safe['extrapolated']}: take it as a rough guide." if safe["extrapolated"] else ""
    return (
        f"Copying beyond chance falls to {laws['wanted_percentage']:g} % at **{safe['size']:,.0f} training images** "
        f"(95 % interval {ends[0]} to {ends[1]}).{beyond}"
    )


PUBLISHED = "Least squares as published; errors in points of percentage:"


def published(fits: pd.DataFrame, left_out: pd.DataFrame) -> Table:
    """The published figures, fitted by the same code: goodness of each pair's law and of its one-shot prediction."""

    def at_8000(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[table["threshold_l2_255"] == 8000]
        return rows[rows["points"] == "main"]

    pairs = at_8000(fits).merge(at_8000(left_out), on=["generator", "dataset"], suffixes=("", "_left_out"))
    rows = tuple(
        (
            cell(f"{pair['generator']}, {pair['dataset']}"),
            cell(pair["r2"], ".4f"),
            cell(pair["median_absolute_error"], ".2f"),
            cell(pair["median_absolute_error_left_out"], ".2f"),
            cell(bool(pair["identified"])),
        )
        for pair in pairs.to_dict("records")
    )
    header = ("pair", "R2", "median error", "left out, one shot", "identified")
    return Table("Published figures (Feng et al. 2021, threshold 8000)", header, rows)
