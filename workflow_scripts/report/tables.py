"""Tables for people: rows of text, each cell with what it is sorted by; as Markdown here, as HTML in the report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Cell:
    """What is shown, and the number by which its column is sorted; None: by the text."""

    text: str
    key: float | None = None


@dataclass(frozen=True)
class Table:
    """caption: what the table shows, for its readers; columns: headings; rows: a cell for each column."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which are set flush right."""
        return any(row[column].key is not None for row in self.rows)

    def markdown(self) -> str:
        """The table in Markdown; its columns line up in a terminal, too: all but the first are flush right."""
        cells = [list(self.columns), *([cell.text for cell in row] for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]

        def line(row: list[str]) -> str:
            first, *others = zip(row, widths, strict=True)
            return f"| {' | '.join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)])} |"

        rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
        return "\n".join([line(cells[0]), f"|{rule}|", *map(line, cells[1:])])


def cell(value: Any, form: str = "") -> Cell:
    """A value as a cell: numbers by the format `form`, a dash where there is none, everything else as text."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return Cell("–")
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float | np.number):
        number = float(value)
        return Cell("∞" if np.isinf(number) else format(value, form or (",.4g" if number % 1 else ",.0f")), number)
    return Cell(str(value))


def interval(value: float, low: float, high: float, form: str = ".1f", unit: str = "") -> Cell:
    """`4.2 % (3.4 to 5.1)`, sorted by the value; without the ends where they are not known."""
    if not np.isfinite([low, high]).all():
        return Cell(f"{value:{form}}{unit}", float(value))
    return Cell(f"{value:{form}}{unit} ({low:{form}} to {high:{form}})", float(value))


def from_frame(caption: str, frame: pd.DataFrame, columns: dict[str, str]) -> Table:
    """A table of columns of `frame`, under the headings that `columns` gives."""
    rows = (tuple(map(cell, row)) for row in frame[list(columns)].itertuples(index=False, name=None))
    return Table(caption, tuple(columns.values()), tuple(rows))
