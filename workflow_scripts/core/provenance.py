"""What made each artifact, and the digest that proves it unchanged: a record of its own under `results/provenance/`.

A job checks its inputs against their records before it starts, and writes those of its outputs when it has succeeded.
An artifact that was cut, changed or replaced since is therefore named, and never used.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json, remake, sha256, write_json

RESULTS, RECORDS = "results", "provenance"
RESOURCES = ("mem_mb", "gpu", "gres", "runtime")  # of those that a job was given
REVISION = "COPYCAT_REVISION"  # the variable in which Snakemake's own process tells its jobs the version of the code
PACKAGES = {  # versions are recorded of those that a job has imported
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "torch": "torch",
    "torchvision": "torchvision",
    "diffusers": "diffusers",
    "scikit-image": "skimage",
    "matplotlib": "matplotlib",
}


def record_of(artifact: str | os.PathLike[str]) -> Path | None:
    """Where the record of an artifact is; None if it does not lie below a folder `results`."""
    parts = Path(artifact).parts
    if RESULTS not in parts:
        return None
    place = parts.index(RESULTS) + 1
    return Path(*parts[:place], RECORDS, *parts[place:-1], f"{parts[-1]}.json")


def check_inputs(paths: Iterable[str | os.PathLike[str]]) -> dict[str, str | None]:
    """The SHA-256 of every input that has a record, None for others.

    Raises InputError for the first one that is missing, or not what its job wrote.
    """
    digests: dict[str, str | None] = {}
    for path in map(str, paths):
        record = record_of(path)
        if record is None or not record.exists():
            digests[path] = None
            continue
        if not Path(path).exists():
            raise InputError(f"{path}: missing, though the workflow made it. {remake(path)}")
        expected = _digest_in(record)
        digests[path] = sha256(path)
        if digests[path] != expected:
            raise InputError(
                f"{path}: not what the workflow wrote: it was damaged or changed (its SHA-256 is not the one in "
                f"{record}). {remake(path)}"
            )
    return digests


def record_outputs(job: Any, inputs: Mapping[str, str | None], seconds: Mapping[str, float]) -> None:
    """Write the records of a finished job's outputs.

    job: Snakemake's object; inputs: as `check_inputs` gave; seconds: what its own work took, without its start.
    """
    artifacts = {path: record for path in map(str, job.output) if (record := record_of(path)) and Path(path).is_file()}
    if not artifacts:
        return
    job_record = {
        "rule": job.rule,
        "wildcards": dict(job.wildcards),
        "params": _plain(dict(job.params)),
        "threads": job.threads,
        "resources": {name: value for name, value in dict(job.resources).items() if name in RESOURCES},
        "inputs": dict(inputs),
        "versions": versions(),
        "revision": os.environ.get(REVISION, "unknown"),
        "hardware": hardware(),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for path, record in artifacts.items():
        size = Path(path).stat().st_size
        write_json(record, {"artifact": Path(path).name, "bytes": size, "sha256": sha256(path), **job_record})


def versions() -> dict[str, str]:
    """Python's version, and those of the packages in PACKAGES that are imported by now."""
    packages = {name: version(name) for name, module in PACKAGES.items() if module in sys.modules}
    return {"python": platform.python_version(), **packages}


def hardware() -> dict[str, Any]:
    """The processor, and the GPUs if this process has used CUDA."""
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_initialized()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch and used else []
    return {"processor": _processor(), "cores": os.cpu_count(), "gpus": gpus}


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def code_revision(root: Path) -> str:
    """The git commit of the repository in `root`, with `-dirty` if files were changed; `unknown` outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _artifact_of(record: Path) -> Path:
    place = record.parts.index(RESULTS) + 1
    return Path(*record.parts[:place], *record.parts[place + 1 : -1], record.stem)


def _digest_in(record: Path) -> str:
    content = read_json(record)
    if not isinstance(content, dict) or not isinstance(content.get("sha256"), str):
        raise InputError(f"{record}: not a record of an artifact. {remake(_artifact_of(record))}")
    return content["sha256"]


def _plain(value: Any) -> Any:
    """`value` with everything that JSON does not have as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
