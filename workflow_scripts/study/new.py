"""`make new DATA=folder NAME=name`: look into a folder of images, and write config/NAME.yaml for a study of it.

Then the commands that answer the three questions are printed, each with what it costs on this machine.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from workflow_scripts.config import NAME
from workflow_scripts.files import InputError, write_text
from workflow_scripts.gpus import machine_devices
from workflow_scripts.study.inspection import Inspection, inspect_folder
from workflow_scripts.study.proposal import Machine, Proposal, propose

QUESTIONS = {
    "one_shot": "Will a generator copy my images?",
    "advice": "Will synthetic images help my rare classes?",
    "diagnosis": "What should a student learn from its teachers?",
}
USAGE = 'make new DATA="/folder of images" NAME=mine'


def this_machine() -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    gpu = "a GPU" if machine_devices() else ""
    return Machine(len(os.sched_getaffinity(0)), gpu, pages / 1e9)


def new_config(data: str, name: str, folder: Path, machine: Machine) -> tuple[Path, Inspection, Proposal]:
    """Write `folder`/NAME.yaml. Raises InputError for a bad name or folder, and rather than replace a file."""
    if not data.strip():
        raise InputError(f"DATA is not given: the folder of your images. {USAGE}")
    if not re.fullmatch(NAME, name) or len(name) > 40:
        raise InputError(
            f"NAME: {name!r} given, expected small letters, digits and hyphens (at most 40, no hyphen first). {USAGE}"
        )
    path = folder / f"{name}.yaml"
    if path.exists():
        raise InputError(f"{path}: there already, and is not replaced. Give another NAME, or remove it.")
    found = inspect_folder(Path(data).expanduser().resolve(), machine.cores)
    proposal = propose(found, name, machine)
    write_text(path, proposal.text)
    return path, found, proposal


def main() -> None:
    machine = this_machine()
    try:
        path, found, proposal = new_config(
            os.environ.get("DATA", ""), os.environ.get("NAME", ""), Path("config"), machine
        )
    except InputError as error:
        sys.exit(f"make new: {error}")
    print(
        "\n".join([*found.lines(), "", f"Wrote {path}, chosen for {machine}.", "Timing this machine ..."]), flush=True
    )

    # Seconds to import: not needed for any of the refusals above.
    from workflow_scripts.study.estimate import Images, estimate, size
    from workflow_scripts.study.plan import plan
    from workflow_scripts.study.rates import measure_rates

    name, classes = path.stem, len(found.classes)
    rates = measure_rates(proposal.config, name, classes)
    images = Images(found.usable, classes, found.seconds_an_image)
    busy = os.getloadavg()[0]
    if busy > machine.cores / 2:
        print(
            f"\nThe machine is busy now (load {busy:.1f} on {machine.cores} cores); the times are those of an idle one."
        )
    engine = (shutil.which("snakemake") and "snakemake") or ".venv/bin/snakemake"
    for target, question in QUESTIONS.items():
        print(f"\n{question}")
        if target in proposal.questions:
            cost = estimate(
                plan(path, [target], Path.cwd(), machine.cores), proposal.config, images, rates, machine.cores
            )
            print(f"  {engine} {target} --configfile {path}\n  {cost}")
        else:
            print(f"  not with this folder: {proposal.left_out[target]}")
    free = size(shutil.disk_usage(".").free / 1e6)
    print(
        "\nEach estimate counts from what is there now: what one question makes, the next one uses. "
        f"{free} of disk are free."
        f"\nAll of it, with a report:     {engine} --configfile {path}"
        f"\nWhere it stands, meanwhile:   make status CONFIG={path}"
    )


if __name__ == "__main__":
    main()
