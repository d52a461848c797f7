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
Studies that get no answer ("not identified") are counted apart. "Careful" marks intervals that cover more, where few
counts leave no choice, or where the product claims no more than it can know. `make coverage` writes this page, and
fails where a number lies outside by more than the simulation's own error; `make coverage ROOMS=laws` renews one part.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage")
    parser.add_argument("rooms", nargs="*", metavar="room", choices=[[], *ROOMS], help=", ".join(ROOMS))
    parser.add_argument("--quick", action="store_true", help="as many studies as two minutes allow; writes no page")
    arguments = parser.parse_args()
    rooms = arguments.rooms or ROOMS
    loaded = {room: import_module(f"tests.coverage.{room}").SIMULATIONS for room in rooms}
    failed: list[str] = []
    if arguments.quick:
        every = [simulation for room in rooms for simulation in loaded[room]]
        for result in simulate(every, seconds=QUICK):
            failed += report(result, not result.refuted(len(every)))
    else:
        for room, simulations in loaded.items():  # a run that ends early keeps the tables of the rooms before
            results = {}
            for result in simulate(simulations):
                failed += report(result, result.holds)
                results[result.simulation.name] = result
            write_page({room: table([results[simulation.name] for simulation in simulations])})
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


def write_page(tables: dict[str, str]) -> None:
    """Write the tables of rooms into the page; rooms that did not run keep theirs."""
    written = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.exists() else []
    sections = dict(section.split("\n\n", 1) for section in written) | tables
    parts = [f"\n## {room}\n\n{sections[room].strip()}\n" for room in ROOMS if room in sections]
    PAGE.write_text(INTRODUCTION + "".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
