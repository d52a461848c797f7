"""Run the benchmarks and print them as one Markdown page: `make bench` keeps it as docs/performance.md.

On a machine with a GPU ours, and the peers that can, compute on it. Progress goes to the standard error.
"""

import argparse
import importlib
import logging
import os
import time
from pathlib import Path

import torch

from benchmarks.bench import Bench
from benchmarks.ceiling import describe
from workflow_scripts.core.provenance import hardware

# The tables with goals first: what is left when the time is up is left out. `engine` reads the study of `make demo`.
BENCHMARKS = ["engine", "measures", "encoders", "copies", "training"]
BENCHMARKS += ["distillation_protocols", "growth", "search_scale", "memory"]

HEAD = """# Performance

Measured by `make bench` on {machine}, torch {torch}, {threads} threads. Peers took turns with us in one run, and the
results were compared. Times on shared machines vary by a few percent from run to run; none of this is a test.
"""
SMALL = "**A trial of the script with little of everything: its numbers mean nothing.**\n"


def machine() -> str:
    """Processor, cores and GPUs of this machine, in words."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([f"{os.cpu_count()} cores of {hardware()['processor']}", *gpus])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all if none is given")
    parser.add_argument("--minutes", type=float, default=20, help="when to stop; rows that are left say so")
    parser.add_argument("--small", action="store_true", help="try the script itself with little of everything")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(os.cpu_count() or 1)
    bench = Bench(torch.device(options.device), options.small, time.monotonic() + 60 * options.minutes)
    print(HEAD.format(machine=machine(), torch=torch.__version__, threads=torch.get_num_threads()))
    if options.small:
        print(SMALL)
    print(describe(bench.ceiling), flush=True)
    for name in options.names or BENCHMARKS:
        try:
            print(importlib.import_module(f"benchmarks.{name}").measure(bench), flush=True)
        except Exception as error:  # a peer that cannot be imported
            print(f"## {name}\n\nfailed: {type(error).__name__}: {error}\n", flush=True)
    print((Path(__file__).parent / "notes.md").read_text(), end="")


if __name__ == "__main__":
    main()
