"""Build this repository's container image if it is not there, and check by its labels that it is the one asked for.

A run with `--sdm apptainer` starts this program before its first job, and so does `make image`:

    python -m workflow_scripts.containers.build_image
"""

import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from filelock import FileLock

from workflow_scripts.containers.image import BUILD_LOG, LOCK, build, image_path, labels
from workflow_scripts.core.files import sha256
from workflow_scripts.core.job import run

ROOT = Path(__file__).parents[2]
logger = logging.getLogger("copycat")


def main(job: Any) -> None:
    image = job.image
    image.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(image.with_suffix(".lock")):  # several runs in folders of their own may want it at once
        if not image.exists():
            build(ROOT, image, os.environ.get("COPYCAT_IMAGE_BASE"))
    written = labels(image)
    if written["lock.sha256"] != sha256(ROOT / LOCK):
        raise RuntimeError(f"{image}: its label is not the lock's hash: {written}")
    logger.info("%s: %d MB, %s", image, image.stat().st_size // 1_000_000, written["versions"])


if __name__ == "__main__":
    BUILD_LOG.parent.mkdir(parents=True, exist_ok=True)
    files = {"input": [], "output": [], "wildcards": [], "log": [BUILD_LOG]}
    run(main, SimpleNamespace(rule="build_image", image=image_path(ROOT), **files))
