"""Build the container image, and check by its labels that it is the one that was asked for. Rule: build_image.

A program and not a script of Snakemake, which makes anew what is older than its script: an image is good as long as its
name says so.

    python -m workflow_scripts.containers.build_image IMAGE LOG
"""

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from filelock import FileLock

from workflow_scripts.containers.image import LOCK, build, labels
from workflow_scripts.core.files import sha256
from workflow_scripts.core.job import run

logger = logging.getLogger("copycat")


def main(job: Any) -> None:
    root, image = Path(__file__).parents[2], job.image
    image.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(image.with_suffix(".lock")):  # several runs in folders of their own may want it at once
        if not image.exists():
            build(root, image, os.environ.get("COPYCAT_IMAGE_BASE"))
    found = labels(image)
    if found["lock.sha256"] != sha256(root / LOCK):
        raise RuntimeError(f"{image}: its label is not the lock's hash: {found}")
    logger.info("%s: %d MB, %s", image, image.stat().st_size // 1_000_000, found["versions"])


if __name__ == "__main__":
    target, log = sys.argv[1:]
    files = {"input": [], "output": [], "wildcards": [], "log": [log]}
    run(main, SimpleNamespace(rule="build_image", image=Path(target), **files))
