"""The headline numbers of a study as tables: how often generators copied, and the published figures."""

import pandas as pd

from workflow_scripts.report.tables import Cell, Table, cell, interval


def copies(over_seeds: pd.DataFrame) -> Table:
    """Copies of each generator and data set at each size, over seeds, at the leading space and threshold (the first).

    over_seeds: that of collect_replication.
    """
    space, threshold = over_seeds.iloc[0][["space", "threshold"]]
    rows = over_seeds[(over_seeds["space"] == space) & (over_seeds["threshold"] == threshold)]
    cells = tuple(
        (
            cell(f"{row['generator']}, {row['dataset']}"),
            cell(row["size"]),
            interval(row["percentage"], row["low"], row["high"], unit=" %")
            if pd.notna(row["low"])
            else Cell(f"{row['percentage']:.1f} % (no interval)", row["percentage"]),
            Cell(f"{row['background_percentage']:.1f} %", row["background_percentage"]),
        )
        for row in rows.to_dict("records")
    )
    missing = "; ".join(rows["reason"].dropna().unique())
    caption = (
        f"Samples that copy a training image (space {space}, threshold {threshold}; mean of "
        f"{rows['seeds'].max()} seed(s), {missing or '95 % intervals over seeds'})"
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
