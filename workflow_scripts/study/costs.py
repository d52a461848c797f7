"""What the answers to the three questions cost on this machine: after `make new`, and by `make estimate CONFIG=...`."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.config.validation import read_config
from workflow_scripts.core.errors import InputError
from workflow_scripts.data.sources import open_source
from workflow_scripts.engine.plan import plan
from workflow_scripts.study.estimate import Images, estimate, size
from workflow_scripts.study.proposal import Machine, this_machine
from workflow_scripts.study.rates import measure_rates

QUESTIONS = {
    "one_shot": ("Will a generator copy my images?", "replication"),
    "advice": ("Will synthetic images help my rare classes?", "similarity"),
    "diagnosis": ("What should a student learn from its teachers?", "distillation"),
}
DECODE_S = 0.001  # of an image, where nobody has measured it


def cost_lines(
    path: Path, config: dict[str, Any], images: Images, machine: Machine, left_out: dict[str, str] | None = None
) -> list[str]:
    """What a person is told: for each question the command and its cost, or why it is not answered.

    config: that of `path`, validated; its first data set stands for all. left_out: reasons by target.
    """
    rates = measure_rates(config, next(iter(config["datasets"])), images.classes)
    engine = "snakemake" if shutil.which("snakemake") else ".venv/bin/snakemake"
    busy, lines = os.getloadavg()[0], []
    if busy > machine.cores / 2:
        now = f"load {busy:.1f} on {machine.cores} cores"
        lines += ["", f"The machine is busy now ({now}): on an idle one it may take half of this."]
    for target, (question, section) in QUESTIONS.items():
        lines += ["", question]
        if config[section]["datasets"]:
            jobs = plan(path, [target], Path.cwd(), machine.cores)
            cost = estimate(jobs, config, images, rates, machine.cores, Path.cwd())
            lines += [f"  {engine} {target} --configfile {path}", f"  {cost}"]
        else:
            reason = (left_out or {}).get(target, f"{path} has no section `{section}`")
            lines.append(f"  not answered: {reason}")
    free = size(shutil.disk_usage(".").free / 1e6)
    return [
        *lines,
        "",
        f"Each is counted from what is there now, and reuses what another one made. {free} of disk are free.",
        f"All of it, with a report:    {engine} --configfile {path}",
        f"Where it stands, meanwhile:  make status CONFIG={path}",
        f"After a change of the file:  make estimate CONFIG={path}",
    ]


def configured_study() -> tuple[Path, dict[str, Any]]:
    """The path that the variable CONFIG names, that of the default study without it, and its validated config."""
    path = Path(os.environ.get("CONFIG") or "config.yaml")
    return path, read_config(path)


def main() -> None:
    try:
        path, config = configured_study()
        source = open_source(next(iter(config["datasets"].values())))
        images = Images(source.count, len(source.classes), DECODE_S)
        print("\n".join(cost_lines(path, config, images, this_machine())))
    except InputError as error:
        sys.exit(f"make estimate: {error}")


if __name__ == "__main__":
    main()
