"""Have Snakemake write its own report of the study, from the records of the jobs. Rule: write_workflow_report."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.job import run

SNAKEFILE = Path(__file__).parents[2] / "Snakefile"


def main(snakemake: Any) -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--profile", "none", "--quiet", "all"]
    command += ["--configfile", snakemake.input.config, "--report", snakemake.output[0], *snakemake.params.targets]
    command += ["--nolock"]  # the calling run holds the lock
    with Path(snakemake.log[0]).open("a", encoding="utf-8") as log:
        ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
    if ended.returncode:
        raise InputError(f"Snakemake could not write its report; {snakemake.log[0]} says why")


run(main, snakemake)
