"""The examples of docs/extending.md: each touches few files, and a study with all of them runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT

CHANGES = re.findall(r"```diff\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.DOTALL)
STUDY = {
    "datasets": {"scans": {"source": "listed", "path": "scans.csv", "resolution": 16, "held_out": 20}},
    "generators": {"vae": {"family": "vae", "preset": "tiny", "overrides": {"steps": 20, "batch": 8}}},
    "spaces": {"coarse": {"kind": "thumbnail", "side": 4}},
    "replication": {
        "datasets": {"scans": {"sizes": [12, 24]}},
        "generators": ["vae"],
        "spaces": ["pixel", "coarse"],
        "samples": 32,
        "thresholds": [{"relative": 0.5}, {"calibrated": 0.05}],
    },
    "complexity": {"neighbours": [5, 5], "resamples": 10},
}


def apply(change: str, folder: Path, *options: str) -> None:
    done = subprocess.run(["git", "apply", *options, "-"], input=change, text=True, capture_output=True, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_each_example_fits_the_code_and_touches_three_files_at_most() -> None:
    assert len(CHANGES) == 6
    for change in CHANGES:
        apply(change, ROOT, "--check")
        assert 1 <= len(re.findall(r"^\+\+\+ ", change, re.MULTILINE)) <= 3


@pytest.mark.slow
def test_a_study_with_all_examples_runs(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "results", "tests", "site"), symlinks=True)
    for change in CHANGES:
        apply(change, copy)
    rng, rows = np.random.default_rng(0), []
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        rows.append({"file": f"{i}.png", "label": "ab"[i % 2]})
    pd.DataFrame(rows).to_csv(tmp_path / "scans.csv", index=False)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(copy / "Snakefile"), "--profile=none", "--cores=2"]
    done = subprocess.run(
        [*command, "--configfile=study.yaml", "replication"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    table = pd.read_csv(tmp_path / "results/replication/table.csv")
    assert set(table["space"]) == {"pixel", "coarse"}
    assert {"relative-0.5", "calibrated-0.05"} <= set(table["threshold"])
    assert (table["nearness"] > 0).all()
    assert (tmp_path / "results/laws/fits.csv").stat().st_size > 0
