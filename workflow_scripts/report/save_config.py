"""Write the config that the run really used, every default filled in. Rule: save_config."""

from typing import Any

import yaml

from workflow_scripts.core.files import write_text
from workflow_scripts.core.job import run


def main(snakemake: Any) -> None:
    header = "# The config of this study with every default filled in; `--configfile` takes this file as it is.\n"
    write_text(snakemake.output[0], header + yaml.safe_dump(snakemake.params.config, sort_keys=False))


run(main, snakemake)
