"""`make new DATA=folder NAME=name`: look into a folder of images, and write config/NAME.yaml for a study of it.

Then the commands that answer the three questions are printed, each with what it costs on this machine.
"""

import os
import sys
from pathlib import Path

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import atomic_path, write_text
from workflow_scripts.data.source import printable
from workflow_scripts.study.contact_sheet import contact_sheet
from workflow_scripts.study.inspection import Inspection, inspect, problems_of
from workflow_scripts.study.proposal import Machine, Proposal, config_file, propose, this_machine

PROBLEMS = ".problems.txt"  # instead of the config's suffix
USAGE = 'make new DATA="/folder of images" NAME=mine'  # or an archive of them


def new_config(data: str, name: str, folder: Path, machine: Machine) -> tuple[Path, Inspection, Proposal]:
    """Write `folder`/NAME.yaml. Raises InputError for a bad name or folder, and rather than replace a file."""
    if not data.strip():
        raise InputError(f"DATA is not given: the folder of your images. {USAGE}")
    path = config_file(folder, name, USAGE)
    if path.exists():
        raise InputError(f"{path}: there already, and is not replaced. Give another NAME, or remove it.")
    root = Path(data).expanduser().resolve()
    try:
        str(root).encode()
    except UnicodeEncodeError:
        raise InputError(f"{printable(str(root))}: its name is not UTF-8; rename it") from None
    seen = inspect(root, machine.cores)
    listed = path.with_suffix(PROBLEMS)
    if problems := problems_of(seen):
        write_text(listed, problems)
    try:
        proposal = propose(seen, name, machine)
    except InputError as error:
        raise InputError(f"{error}. All are listed in {listed}" if seen.broken else str(error)) from None
    write_text(path, proposal.text)
    with atomic_path(path.with_suffix(".png")) as sheet:
        contact_sheet(proposal.config["datasets"][name]).save(sheet, "PNG")
    return path, seen, proposal


def main() -> None:
    machine = this_machine()
    try:
        path, seen, proposal = new_config(
            os.environ.get("DATA", ""), os.environ.get("NAME", ""), Path("config"), machine
        )
    except InputError as error:
        sys.exit(f"make new: {error}")
    lines = [*seen.lines(), "", f"Wrote {path}, chosen for {machine}."]
    lines.append(f"What packing makes of twelve images: {path.with_suffix('.png')}")
    if path.with_suffix(PROBLEMS).exists():
        lines.append(f"Every file that is broken, repeated or left out: {path.with_suffix(PROBLEMS)}")
    print("\n".join([*lines, "Timing this machine ..."]), flush=True)

    from workflow_scripts.study.costs import Images, cost_lines  # seconds to import, and not needed for the refusals

    images = Images(seen.usable, len(seen.classes), seen.seconds_an_image)
    print("\n".join(cost_lines(path, proposal.config, images, machine, proposal.left_out)))


if __name__ == "__main__":
    main()
