"""Audit the default study's own generators as if they came from elsewhere, and keep the table in docs/audit.md.

`python -m benchmarks.audits` after `make demo`: training images, held-out images and samples of every generator go into
files of their own, and the audit sees nothing else. What the study itself measured stands beside what the audit says.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Hashable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.__main__ import machine as this_machine
from docs.results import NAMES
from workflow_scripts.audit.verdict import COPIES
from workflow_scripts.core.files import read_json, write_csv
from workflow_scripts.study.recognition import settings_for

ROOT = Path(__file__).parent.parent
PAGE, TABLE = ROOT / "docs/audit.md", ROOT / "docs/audits.csv"
PLACE = re.compile(r"(?<=<!--audits-->\n).*(?=<!--/audits-->)", re.DOTALL)
RULES = ("pack_samples", "extract_audited_features", "search_samples", "measure_audit")  # of one set of samples alone

TEXT = """\
{count} generators, measured on {day}, {machine}. Seconds are those of a
processor, for what is done for this set of samples alone.

| generator | training images | study: copies, % of samples | verdict | copies, % of samples, where most | \
membership AUC, where largest | told at 1 % false alarms, % | s |
|---|---|---|---|---|---|---|---|
{rows}

{comparison}
"""
PICTURE = "audit_pairs/size-11/stylegan2-11.png"  # of results/figures: copies that pixels alone hardly find


def write_inputs(results: Path, work: Path) -> dict[str, Any]:
    """Each size's training and held-out images, and each generator's samples, as files; the config that audits them."""
    [dataset], folder = pd.read_csv(results / "replication/table.csv")["dataset"].unique(), work / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    images = np.load(results / "data" / dataset / "images.npy", mmap_mode="r")
    split = {name: np.load(results / f"subsets/{dataset}/seed-0/{name}.npy") for name in ("order", "held_out")}
    np.savez(folder / "held-out.npz", arr_0=images[np.sort(split["held_out"])])
    config: dict[str, Any] = {"datasets": {}, "samples": {}, "audit": {"datasets": {}}}
    for path in sorted((results / "samples").glob(f"*/{dataset}/*/seed-0/images.npy")):
        generator, size = path.parts[-5], path.parts[-3]
        name = f"{generator}-{size.removeprefix('size-')}"
        np.savez(folder / f"{name}.npz", arr_0=np.load(path))
        np.savez(folder / f"{size}.npz", arr_0=images[np.sort(split["order"][: int(size.removeprefix("size-"))])])
        config["samples"][name] = settings_for(folder / f"{name}.npz")
        config["datasets"][size] = settings_for(folder / f"{size}.npz") | {
            "held_out_path": str(folder / "held-out.npz"),
            "resolution": images.shape[1],
            "color": "grey" if images.shape[-1] == 1 else "rgb",
        }
        config["audit"]["datasets"].setdefault(size, {"samples": []})["samples"].append(name)
    return config


def collect(results: Path, audited: Path) -> pd.DataFrame:
    """A row for each generator: what the study measured and what the audit found."""
    table = pd.read_csv(results / "replication/table.csv")
    table = table[(table["seed"] == 0) & (table["threshold"] == table["threshold"].iloc[0])]
    known = table.set_index(["generator", "size"])
    rows: list[dict[str, Any]] = []
    for path in sorted(audited.glob("audit/*/*/measured.json")):
        audit, name = read_json(path), path.parent.name
        generator, size = name.split("-")
        study = known.loc[(generator, int(size))]
        areas = [part["membership"] for part in audit["spaces"].values() if part.get("membership")]
        area = max(areas, key=lambda item: item["auc"] or 0.0)
        verdict = audit["verdict"]
        rows.append(
            {"generator": generator, "size": int(size)}
            | {f"study_{key}": study[f"excess_{key}"] for key in ("percentage", "low", "high")}
            | {key: verdict[key] for key in ("verdict", "space", "percentage", "low", "high")}
            | {key: area[key] for key in ("auc", "auc_low", "auc_high")}
            | {f"told_{key}": area["told"][0][key] for key in ("percentage", "low", "high")}
            | {"seconds": _seconds(audited, path.parent.parent.name, name)}
        )
    rows.sort(key=lambda row: (list(NAMES).index(row["generator"]), row["size"]))
    return pd.DataFrame(rows).assign(day=date.today().isoformat(), machine=this_machine())


def _seconds(audited: Path, dataset: str, samples: str) -> float:
    """Processor seconds of the jobs of a set of samples."""
    seconds = 0.0
    for path in (audited / "benchmarks").rglob("*.tsv"):
        parts = path.relative_to(audited / "benchmarks").with_suffix("").parts
        if parts[0] in RULES and dataset in parts and samples in parts:
            seconds += float(pd.read_csv(path, sep="\t")["cpu_time"].iloc[0])
    return seconds


def render(table: pd.DataFrame) -> str:
    """The table as Markdown."""
    rows = [
        f"| {NAMES[row['generator']]} | {row['size']} "
        f"| {_interval(row, 'study_percentage', 'study_low', 'study_high')} "
        f"| {row['verdict']} | {_interval(row, 'percentage', 'low', 'high')}, {row['space']} "
        f"| {_interval(row, 'auc', 'auc_low', 'auc_high', form='.2f')} "
        f"| {_interval(row, 'told_percentage', 'told_low', 'told_high', form='.0f')} | {row['seconds']:.0f} |"
        for row in table.to_dict("records")
    ]
    return TEXT.format(
        count=len(table),
        day=table["day"].iloc[0],
        machine=table["machine"].iloc[0],
        rows="\n".join(rows),
        comparison=_comparison(table),
    )


def _comparison(table: pd.DataFrame) -> str:
    """Verdicts against what the study knows, in words."""
    copied, known = table["verdict"] == COPIES, table["study_low"] > 0
    within = (table["low"] <= table["study_percentage"]) & (table["study_percentage"] <= table["high"])
    counts = ", ".join(f"{count} times *{verdict}*" for verdict, count in table["verdict"].value_counts().items())
    sentences = [
        f"The verdicts: {counts}.",
        f"The study's interval is above 0 for {known.sum()} generators; of {(copied & known).sum()} of these the audit "
        f"says that copies were found, and of {(copied & ~known).sum()} of the other {(~known).sum()}.",
        f"The study's share lies within the audit's interval in {within.sum()} of {len(table)} cases.",
    ]
    if (missed := table[known & ~copied]).shape[0]:
        area = missed["auc"].min()
        sentences.append(
            f"Where the study sees copies and the audit does not call them so, it sees "
            f"{missed['percentage'].min():.1f} to {missed['percentage'].max():.1f} % of copies with lower ends of "
            f"{missed['low'].max():.1f} % at most, and a membership AUC of at least {area:.2f}."
        )
    text = textwrap.fill(" ".join(sentences).replace(" %", "\0%"), 120)  # no line begins with a percent sign
    return text.replace("\0", " ")


def _interval(row: Mapping[Hashable, Any], *columns: str, form: str = ".1f") -> str:
    value, low, high = (row[name] for name in columns)
    if pd.isna(value):
        return "too few images"
    return f"{value:z{form}} ({low:z{form}} to {high:z{form}})"  # z: no minus before a 0


def fill(page: str, table: pd.DataFrame) -> str:
    """The page with the table in its place."""
    return PLACE.sub(lambda _: render(table), page)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audits", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the default study")
    parser.add_argument("--work", type=Path, default=Path("results/audits"), help="where the audits are made")
    options = parser.parse_args()
    work = options.work.resolve()
    config = write_inputs(options.results.resolve(), work)
    file = work / "audits.yaml"
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")  # YAML holds JSON
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        work,
    ]
    command += ["--profile", ROOT / "profiles/default", "--configfile", file, "--quiet", "all", "--", "audit"]
    subprocess.run(command, check=True)
    shutil.copyfile(work / "results/figures" / PICTURE, ROOT / "docs/images/audit_stylegan2.png")
    write_csv(TABLE, collect(options.results, work / "results"))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), pd.read_csv(TABLE)), encoding="utf-8")


if __name__ == "__main__":
    main()
