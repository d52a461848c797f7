"""Run the simulations of coverage: `python -m tests.coverage [--quick] [room ...]`. Fails where a claim does not hold.

A full run keeps each result in docs/coverage.csv and writes docs/coverage.md from all that stand there, so that rooms
can be run one by one; a quick one takes two minutes and only prints.
"""

import argparse
import csv
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the simulations are what runs in parallel

from tests.coverage.simulate import Result, Simulation, simulate, summary, table
from workflow_scripts.core.files import atomic_path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs/coverage.md"
KEPT = PAGE.with_suffix(".csv")
ROOMS = sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "simulate" and path.stem[:5] != "test_")
QUICK = 110.0  # seconds
INTRODUCTION = """# Coverage of the intervals

Every interval and p-value that Copycat publishes is simulated with known truth and realistic scatter between training
runs. Each row below is a cell: one statement under one set of conditions. A nominal 95 % interval must hold the truth
in 93 to 97 % of simulated studies, a test at 0.05 must reject a true null hypothesis in at most 6 %, and a statement
must be wrong in at most 6 %. A cell is "outside" if it misses these bounds by more than the simulation's own error,
which the column "95 % interval" shows: some 3.5 points with 150 studies, 1 with 1,500. An interval may cover more than
97 % for one of the reasons below, which a rule decides from the cell's conditions; the last column names it. Studies
that get no answer are counted apart.

"""
WITHOUT_ANSWER = """
Where too little was measured the product gives no interval; it says what is missing:

- one seed: "one seed does not show how far runs differ; a second seed would give an interval";
- a law of fewer than three sizes: how many there are, and that at least three are needed;
- a law of too few runs that copy something but not everything: "the scatter between training runs is not known", with
  the number of runs to add;
- teachers and students with fewer than three seeds: "not enough data";
- an ensemble that only some seeds choose: no ensemble is named as the best;
- gains and similarity: "not enough data", with the number of groups or seeds that would tell;
- membership of fewer than 8 images, or 8 groups of images that belong together: how many it needs.

`make coverage` runs everything, which takes hours, and fails if anything is outside; `make coverage ROOMS=laws` renews
one part, and `python -m tests.coverage laws --only REGEX --repeats 1000` a few cells with more studies. The counts of
all studies are in `coverage.csv` beside this page.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage")
    parser.add_argument("rooms", nargs="*", metavar="room", choices=[[], *ROOMS], help=", ".join(ROOMS))
    parser.add_argument("--quick", action="store_true", help="as many studies as two minutes allow; writes no page")
    parser.add_argument("--only", default="", metavar="REGEX", help="of these rooms the simulations of such names")
    parser.add_argument("--repeats", type=int, help="so many draws of each simulation, in place of its own number")
    arguments = parser.parse_args()
    rooms = {room: import_module(f"tests.coverage.{room}").SIMULATIONS for room in ROOMS}
    chosen = [
        replace(simulation, repeats=arguments.repeats or simulation.repeats)
        for room in arguments.rooms or ROOMS
        for simulation in rooms[room]
        if re.search(arguments.only, simulation.name)
    ]
    failed: list[str] = []
    if arguments.quick:
        for result in simulate(chosen, seconds=QUICK):
            failed += report(result, not result.refuted(len(chosen)))
    else:
        kept = read_kept()
        for result in simulate(chosen):
            failed += report(result, result.holds)
            kept[result.simulation.name] = (result.true, result.false, result.refused)
            write_kept(kept)  # a run that ends early keeps what it has
        write_page(rooms, kept)
    if failed:
        sys.exit(f"{len(failed)} claims do not hold: {', '.join(failed)}")


def report(result: Result, holds: bool) -> list[str]:
    """Print a result; its name if it does not hold."""
    low, high = result.interval
    print(
        f"{'ok  ' if holds else 'FAIL'} {result.simulation.name}: {result.share:.3f} ({low:.3f} to {high:.3f}), "
        f"{result.refused} of {result.answered + result.refused} without an answer",
        flush=True,
    )
    return [] if holds else [result.simulation.name]


Counts = tuple[int, int, int]  # of studies: true, false and refused


def read_kept() -> dict[str, Counts]:
    """Results of earlier runs by the simulation's name."""
    if not KEPT.exists():
        return {}
    with KEPT.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["name"]: (int(row["true"]), int(row["false"]), int(row["refused"])) for row in rows}


def write_kept(kept: Mapping[str, Counts]) -> None:
    with atomic_path(KEPT) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "true", "false", "refused"])
        writer.writerows([name, *counts] for name, counts in kept.items())


def write_page(rooms: Mapping[str, Sequence[Simulation]], kept: Mapping[str, Counts]) -> None:
    """Write the page from the results of simulations that there (still) are."""
    results = {
        room: [Result(simulation, *kept[simulation.name]) for simulation in simulations if simulation.name in kept]
        for room, simulations in rooms.items()
    }
    parts = [INTRODUCTION, summary(results, sum(map(len, rooms.values()))), WITHOUT_ANSWER]
    for room, own in results.items():
        run = f"{len(own)} of {len(rooms[room])} simulations have been run."
        parts.append("\n".join(["", f"## {room}", "", run, *(["", table(own)] if own else [""])]))
    PAGE.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
