"""What the report counts by itself: costs, the graph of the rules, and tables as text."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.report.cost import Stage, rule_costs, stage_costs
from workflow_scripts.report.records import Record, machines, rule_graph
from workflow_scripts.report.tables import Table, cell, from_frame, interval


def record(path: str, rule: str, inputs: tuple[str, ...] = (), gpus: tuple[str, ...] = ()) -> Record:
    hardware: dict[str, Any] = {"processor": "X", "cores": 2, "gpus": list(gpus)}
    return Record(path, "0" * 64, 1, rule, "2026-01-01T00:00:00+00:00", "abc", {"python": "3.11"}, hardware, inputs)


def test_costs_add_up(tmp_path: Path) -> None:
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for path, seconds, memory, cpu in (("train/a.tsv", 3600, 2048, 1800), ("train/b/c.tsv", 1800, "NA", 900),
                                       ("pack.tsv", 36, 512, 18)):  # fmt: skip
        file = tmp_path / "benchmarks" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{head}{seconds}\t0:00:01\t{memory}\t1\t1\t1\t1\t1\t50\t{cpu}\n")
    records = [record("a", "train", gpus=("H100",)), record("b", "train"), record("p", "pack")]
    rules = rule_costs(tmp_path, records).set_index("rule")
    assert rules.loc["train", ["jobs", "hours", "cpu_hours", "memory_gb"]].tolist() == [2, 1.5, 0.75, 2.0]
    assert rules.loc["train", "gpu_hours"] == 0.75  # one of its two jobs had a GPU
    assert rules.loc["pack", "gpu_hours"] == 0
    known = [Stage("data", "", ("pack",)), Stage("generators", "", ("train_other",))]
    table = stage_costs(rules.reset_index(), known)
    assert table["stage"].tolist() == ["data", "others"]
    assert table["hours"].sum() == pytest.approx(1.51)
    assert rule_costs(tmp_path / "none", []).empty


def test_the_graph_of_the_rules_is_that_of_the_records() -> None:
    records = [record("i", "pack"), record("w", "train", ("i",)), record("f", "draw", ("w", "i", "elsewhere"))]
    assert rule_graph(records) == {"pack": [], "train": ["pack"], "draw": ["pack", "train"]}
    assert machines([*records, record("g", "train", gpus=("H100",))]) == ["X, 2 cores", "X, 2 cores, H100"]


def test_a_table_lines_up_as_text() -> None:
    rows = ((cell("a"), interval(12.34, 1, 20, unit=" %")), (cell("long name"), cell(None)))
    assert Table("c", ("name", "share"), rows).markdown().splitlines() == [
        "| name      |                share |",
        "|-----------|---------------------:|",
        "| a         | 12.3 % (1.0 to 20.0) |",
        "| long name |                    – |",
    ]


def test_cells_show_numbers_and_what_is_missing() -> None:
    frame = pd.DataFrame(
        {"n": [1200, 3], "x": [0.5, np.nan], "ok": [True, False], "s": ["a", "b"], "big": [np.inf, 1e-5]}
    )
    table = from_frame("c", frame, {"n": "images", "x": "x", "ok": "ok", "s": "s", "big": "big"})
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["1,200", "0.5", "yes", "a", "∞"],
        ["3", "–", "no", "b", "1e-05"],
    ]
    assert [table.numeric(i) for i in range(5)] == [True, True, False, False, True]
    assert interval(1.0, np.nan, 2.0).text == "1.0"
