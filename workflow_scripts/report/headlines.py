"""The headline numbers of a study as tables: how often generators copied, and the published figures."""

from typing import Any

import pandas as pd

from workflow_scripts.core.intervals import wilson
from workflow_scripts.report.tables import Cell, Table, cell, interval


def copies(table: pd.DataFrame, laws: dict[str, Any]) -> Table:
    """Copies of each generator and data set at each size, seeds pooled, at the leading space and threshold.

    table: that of collect_replication; laws: what fit_decay wrote.
    """
    leading = laws["leading"]
    rows = table[(table["space"] == leading["space"]) & (table["threshold"] == leading["threshold"])]
    pooled = rows.groupby(["dataset", "generator", "size"], sort=False).agg(
        {"replicas": "sum", "samples": "sum", "background_percentage": "mean", "seed": "nunique"}
    )
    ends = wilson(pooled["replicas"], pooled["samples"])
    share, low, high = 100 * pooled["replicas"] / pooled["samples"], *(100 * end for end in ends)
    cells = tuple(
        (cell(f"{generator}, {dataset}"), cell(size), interval(s, a, b, unit=" %"), Cell(f"{chance:.1f} %", chance))
        for (dataset, generator, size), s, a, b, chance in zip(
            pooled.index, share, low, high, pooled["background_percentage"], strict=True
        )
    )
    caption = (
        f"Samples that copy a training image (space {leading['space']}, threshold {leading['threshold']}; "
        f"{pooled['seed'].max()} seed(s) pooled; 95 % intervals from counting samples)"
    )
    return Table(caption, ("generator, data set", "training images", "copies", "by chance"), cells)


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
