"""What every script of the workflow shares: its log, its progress, the check of its inputs, and how it fails.

A script ends with `run(main, snakemake)`. It also runs by itself under a debugger: `snakemake --debug TARGET`.
"""

import errno
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from workflow_scripts.core.errors import InputError, Interrupted, is_out_of_gpu_memory
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.provenance import check_inputs, record_outputs

logger = logging.getLogger("copycat")


# Where a job says how much GPU memory it takes.
GPU_MEMORY = {
    "train_generator": "raise `accumulate` or set `precision: bfloat16` (config key generators.<name>.overrides)",
    "train_class_generator": "raise `accumulate` or set `precision: bfloat16` (config key generators.<name>.overrides)",
    "train_simclr": "lower `batch` (config key spaces.<name>.overrides)",
    "train_baselines": "lower `batch` or set `precision: bfloat16` (config key rebalancing.classifier.overrides)",
    "train_arm": "lower `batch` or set `precision: bfloat16` (config key rebalancing.classifier.overrides)",
    "train_teacher": "lower `batch` or set `precision: bfloat16` (config key distillation.teacher.overrides)",
    "train_student": "lower `batch` or set `precision: bfloat16` (config key distillation.student.overrides)",
}


def run(main: Callable[[Any], None], snakemake: Any) -> None:
    """Run a script's `main` with its job: log lines go to the rule's log; bad input ends in one clear line.

    Its inputs are checked against their records before, and those of its outputs are written after.
    """
    path = snakemake.log[0] if len(snakemake.log) else None
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    if path:
        handlers.append(logging.FileHandler(path, mode="a", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.captureWarnings(True)
    Progress.job = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    try:
        inputs = check_inputs(snakemake.input)
        began, processor = time.monotonic(), _processor_seconds()
        main(snakemake)
        seconds = {"wall": time.monotonic() - began, "processor": _processor_seconds() - processor}
        record_outputs(snakemake, inputs, seconds)
    except (InputError, Interrupted) as error:
        logger.error("Error in rule %s: %s", snakemake.rule, error)
        sys.exit(1)
    except Exception as error:
        if (advice := _known_cause(error, snakemake.rule)) is not None:
            logger.error("Error in rule %s: %s", snakemake.rule, advice)
        else:
            logger.exception("Unexpected error in rule %s; the lines below are for a bug report.", snakemake.rule)
        sys.exit(1)


def _processor_seconds() -> float:
    """Of this process, and of those that it has started and seen end."""
    return sum(os.times()[:4])


def _known_cause(error: Exception, rule: str) -> str | None:
    """What is wrong with the machine and what to do, if that is what the error says."""
    text, number = str(error), getattr(error, "errno", None)
    # safetensors and pyarrow give the system's words, but not always its number.
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text:
        free = shutil.disk_usage(".").free / 1e9
        return (
            f"the disk is full ({text}; {free:.1f} GB are free in the working directory). Nothing half-written is "
            "left. Make room and run the same snakemake command again."
        )
    if number in (errno.EROFS, errno.EACCES, errno.EPERM) or "Read-only file system" in text:
        return f"no right to write or read a file ({text}). Correct that, and run the same snakemake command again."
    if is_out_of_gpu_memory(error):
        knob = GPU_MEMORY.get(rule, "give the job a GPU of its own")
        return f"out of GPU memory ({text.splitlines()[0]}). Use a larger GPU, or {knob}."
    if isinstance(error, MemoryError):
        return (
            f"out of memory ({text.splitlines()[0] if text else 'the machine gave no more'}). Run fewer jobs at once "
            "(--resources mem_mb=...), or on a machine with more memory."
        )
    return None
