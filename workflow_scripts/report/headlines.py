"""The headline numbers of a study as tables: what generators copied and gave away, and the published figures."""

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
            _percentage(row["percentage"], row["low"], row["high"]),
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


def membership(over_seeds: pd.DataFrame) -> Table:
    """Training images told from others by each generator's samples, over seeds, in the leading space (the first).

    over_seeds: the membership of collect_replication.
    """
    rows = over_seeds[over_seeds["space"] == over_seeds["space"].iloc[0]]
    cells = tuple(
        (
            cell(f"{row['generator']}, {row['dataset']}"),
            cell(row["size"]),
            cell(row["auc"], ".2f"),
            *(
                _percentage(*(row[f"{attack}told_at_1{end}"] for end in ("", "_low", "_high")))
                for attack in ("", "lira_")
            ),
        )
        for row in rows.to_dict("records")
    )
    caption = (
        f"Training images that the samples give away (space {rows['space'].iloc[0]}; mean of {rows['seeds'].max()} "
        "seed(s); by chance an area of 0.5 and 1 %)"
    )
    columns = ("generator, data set", "training images", "area", "told at 1 % false alarms", "told by LiRA")
    return Table(caption, columns, cells)


def _percentage(value: float, low: float, high: float) -> Cell:
    """With its interval, or that there is none."""
    if pd.isna(value):
        return cell(None)
    return interval(value, low, high, unit=" %") if pd.notna(low) else Cell(f"{value:.1f} % (no interval)", value)


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
