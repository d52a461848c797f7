"""Run the benchmarks and print them as one Markdown page: `make bench` keeps it as docs/performance.md."""

import importlib
import logging
import os
import sys

import torch

from workflow_scripts.provenance import hardware

BENCHMARKS = ["engine", "measures", "growth", "search_scale", "memory", "training", "distillation_protocols"]

HEAD = """# Performance

Made by `make bench` on {machine}, torch {torch}, {threads} threads. What is compared ran in turns in one run. Times on
shared machines vary by some percent from run to run; nothing here is a test.
"""


def machine() -> str:
    """Processor, cores and GPUs of this machine, in words."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([f"{os.cpu_count()} cores of {hardware()['processor']}", *gpus])


def main(wanted: list[str]) -> None:
    logging.disable(logging.INFO)
    torch.set_num_threads(os.cpu_count() or 1)
    print(HEAD.format(machine=machine(), torch=torch.__version__, threads=torch.get_num_threads()))
    for name in wanted or BENCHMARKS:
        print(importlib.import_module(f"benchmarks.{name}").measure(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
