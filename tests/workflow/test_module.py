"""Copycat as a module of another workflow, in a working directory that is not its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT, SMOKE

OUTER = f"""
configfile: "study.yaml"

module copycat:
    snakefile: "{ROOT}/Snakefile"
    config: config["copycat"]
    {{prefix}}

use rule * from copycat {{names}}

rule count_images:
    default_target: True
    input: "{{folder}}results/data/fashion-mnist/manifest.json"
    output: "count.txt"
    container: "another-image.sif"
    shell: "grep count {{{{input}}}} > {{{{output}}}}"
"""


def outer_workflow(folder: Path, names: str = "", prefix: str = "") -> Path:
    """A workflow in `folder` that takes Copycat's rules under `names`, and needs one file of theirs."""
    directive = f'prefix: "{prefix}"' if prefix else ""
    (folder / "Snakefile").write_text(
        OUTER.format(names=names, prefix=directive, folder=f"{prefix}/" if prefix else "")
    )
    study = {"threshold": 0.5, "copycat": yaml.safe_load(SMOKE.read_text())}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder


def snakemake(folder: Path, *arguments: str) -> str:
    """What Snakemake says, run in `folder` without any of the repository's profiles."""
    command = [sys.executable, "-m", "snakemake", "--cores=2", "--profile=none", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def test_a_rule_of_another_workflow_gets_its_input_from_the_module(tmp_path: Path) -> None:
    folder = outer_workflow(tmp_path, "as copycat_*", prefix="images")
    snakemake(folder)
    manifest = json.loads((folder / "images/results/data/fashion-mnist/manifest.json").read_text())
    assert (folder / "count.txt").read_text().split() == ['"count":', f"{manifest['count']},"]
    record = folder / "images/results/provenance/data/fashion-mnist/images.npy.json"
    assert json.loads(record.read_text())["rule"] == "copycat_pack_images"
    assert (folder / "images/results/benchmarks/copycat_pack_images/fashion-mnist.tsv").exists()


def test_the_whole_study_is_planned_from_outside(tmp_path: Path) -> None:
    plan = snakemake(outer_workflow(tmp_path), "--dry-run", "all", "count_images")
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", plan, re.MULTILINE))
    assert (jobs["train_generator"], jobs["write_report"], jobs["count_images"]) == ("2", "1", "1")
