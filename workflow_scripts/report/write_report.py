"""Write the report of the whole study as one HTML file. Rule: write_report."""

from pathlib import Path
from typing import Any

from workflow_scripts.core.files import write_text
from workflow_scripts.core.job import run
from workflow_scripts.report.cost import Stage
from workflow_scripts.report.page import write_page


def main(snakemake: Any) -> None:
    write_text(
        snakemake.output[0],
        write_page(Path(snakemake.input.config).parent, [Stage(**stage) for stage in snakemake.params.stages]),
    )


run(main, snakemake)
