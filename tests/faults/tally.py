"""The tally of kills that docs/reliability.md shows: a table, and a figure of it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tests.conftest import ROOT
from workflow_scripts.core import figures

PICTURE = ROOT / "docs/images/faults"
KINDS = {
    "script": figures.Style("#0072b2", "o"),
    "script, SIGTERM": figures.Style("#009e73", "^"),
    "run": figures.Style("#d55e00", "s"),
    "job of the cluster": figures.Style("#cc79a7", "D"),
}
LABELS = {
    "script": "SIGKILL to the script",
    "script, SIGTERM": "SIGTERM to the script",
    "run": "SIGKILL to Snakemake and all below it",
    "job of the cluster": "SIGKILL to the job on SLURM",
}


def keep(rows: Sequence[dict[str, Any]]) -> None:
    """Write the table of kills and draw it: when each job was killed, and that nothing was lost."""
    table = pd.DataFrame(rows)
    rules = sorted(table["rule"].unique(), reverse=True)
    figure = Figure(figsize=(6.4, 0.9 + 0.19 * len(rules)), layout="constrained")
    axes = figure.subplots()
    for how, style in KINDS.items():
        part = table[table["killed"] == how]
        places = [rules.index(rule) for rule in part["rule"]]
        axes.scatter(part["after_s"], places, marker=style.marker, color=style.colour, s=22, linewidth=0)
    axes.set_yticks(range(len(rules)), rules)
    axes.set_xlabel("killed so many seconds after the job's script appeared")
    tried, lost = len(table), int((table["lost"] > 0).sum())
    axes.set_title(f"{tried} kills, {tried - lost} survived, {lost} lost", loc="left")
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="none", label=LABELS[how])
        for how, style in KINDS.items()
        if how in set(table["killed"])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    description = f"When each of {tried} jobs was killed, by rule; {lost} results were lost."
    figures.save_figure(figure, f"{PICTURE}.svg", table, description)
    PICTURE.with_suffix(".svg").unlink()
