"""Run the simulations of coverage: `python -m tests.coverage [--quick] [room ...]`. Fails where a claim does not hold.

A full run writes its tables into docs/coverage.md; a quick one takes two minutes and only prints them.
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the simulations are what runs in parallel

from tests.coverage.simulate import Result, simulate, table

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs/coverage.md"
ROOMS = sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "simulate" and path.stem[:5] != "test_")
QUICK = 110.0  # seconds
INTRODUCTION = """# Coverage of the intervals

Every interval and p-value that Copycat publishes is simulated with known truth and realistic scatter between training
runs. A nominal 95 % interval must hold the truth in 92 to 98 % of simulated studies, a test at 0.05 must reject a true
null hypothesis in at most 6 %, and a statement must be wrong in at most 5 % (6 % with the simulation's own error).
Studies that get no answer ("not identified") are counted apart. `make coverage` writes this page, and fails where a
number lies outside by more than the simulation's own error.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage")
    parser.add_argument("rooms", nargs="*", metavar="room", choices=[[], *ROOMS], help=", ".join(ROOMS))
    parser.add_argument("--quick", action="store_true", help="as many studies as two minutes allow; writes no page")
    arguments = parser.parse_args()
    rooms = arguments.rooms or ROOMS
    loaded = {room: import_module(f"tests.coverage.{room}").SIMULATIONS for room in rooms}
    room_of = {simulation.name: room for room in rooms for simulation in loaded[room]}
    results: dict[str, list[Result]] = {room: [] for room in rooms}
    failed = []
    simulations = [simulation for room in rooms for simulation in loaded[room]]
    for result in simulate(simulations, seconds=QUICK if arguments.quick else float("inf")):
        low, high = result.interval
        holds = not result.refuted(len(simulations)) if arguments.quick else result.holds
        print(
            f"{'ok  ' if holds else 'FAIL'} {result.simulation.name}: {result.share:.3f} ({low:.3f} to "
            f"{high:.3f}), {result.refused} of {result.answered + result.refused} without an answer",
            flush=True,
        )
        results[room_of[result.simulation.name]].append(result)
        failed += [] if holds else [result.simulation.name]
    order = [simulation.name for simulation in simulations]
    for part in results.values():
        part.sort(key=lambda result: order.index(result.simulation.name))
    if not arguments.quick:
        write_page({room: table(part) for room, part in results.items()})
    if failed:
        sys.exit(f"{len(failed)} of {len(simulations)} claims do not hold: {', '.join(failed)}")


def write_page(tables: dict[str, str]) -> None:
    """Write the tables of rooms into the page; rooms that did not run keep theirs."""
    written = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.exists() else []
    sections = dict(section.split("\n\n", 1) for section in written) | tables
    parts = [f"\n## {room}\n\n{sections[room].strip()}\n" for room in ROOMS if room in sections]
    PAGE.write_text(INTRODUCTION + "".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
