"""Which GPUs of a machine a job takes, when several jobs run on it at once and nobody else hands them out.

Each device has a lock file; a job takes the first free ones. The lock belongs to the open file, so that the system
releases it whenever the process ends, however it ends. This must happen before CUDA is initialised, which reads
CUDA_VISIBLE_DEVICES once; so torch is not imported here.
"""

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

logger = logging.getLogger("copycat")

FOLDER = "COPYCAT_GPU_LOCKS"  # names another folder of lock files
TAKEN = "COPYCAT_GPUS_TAKEN"  # set for the processes that a job starts: its devices are theirs
WAIT_S = 0.5

# The locks of this process. They live until it ends: a device is not given back before.
_held: dict[str, FileLock] = {}


def requested_gpus(resources: Mapping[str, Any]) -> int:
    """How many GPUs a job has asked for, as `gpu` or as `gres` (`gpu:2`, `gpu:a100:2`)."""
    kind, *rest = str(resources.get("gres") or "").split(":")
    if kind == "gpu":
        return int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return int(resources.get("gpu", 1))


def machine_devices() -> list[str]:
    """The machine's devices as `nvidia-smi` lists them: indices, or the names of MIG slices where a GPU is divided."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_devices(done.stdout) if done.returncode == 0 else []


def parse_devices(listing: str) -> list[str]:
    """Device names for CUDA_VISIBLE_DEVICES from the output of `nvidia-smi -L`.

    A GPU is named by its index; one that is divided by MIG is replaced by its slices, named `MIG-...`.
    """
    devices: list[str] = []
    index = ""
    for line in listing.splitlines():
        if line.startswith("GPU "):
            index = line.split(":")[0].removeprefix("GPU ").strip()
            devices.append(index)
        elif "MIG" in line and "UUID: MIG-" in line:
            if devices and devices[-1] == index:
                devices.pop()
            devices.append(line.rsplit("UUID:", 1)[1].strip(" )"))
    return devices


def visible_devices(environment: Mapping[str, str], listed: Callable[[], list[str]] = machine_devices) -> list[str]:
    """The devices that this process may use: those of CUDA_VISIBLE_DEVICES, or else all that `listed` gives.

    As CUDA reads it: an empty value means no device, and the list ends before a negative index.
    """
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return listed()
    devices: list[str] = []
    for name in (part.strip() for part in chosen.split(",")):
        if not name or name.startswith("-") or name == "NoDevFiles":
            break
        devices.append(name)
    return devices


def lock_folder(environment: Mapping[str, str]) -> Path:
    """The folder of the lock files: one for all users of a machine, unless COPYCAT_GPU_LOCKS names another.

    A SLURM job with devices of its own has its own folder too: it may number them from 0, as its neighbours do.
    """
    folder = Path(environment.get(FOLDER) or "/tmp/copycat-gpus")
    if environment.get("SLURM_JOB_GPUS") or environment.get("SLURM_STEP_GPUS"):
        folder /= f"slurm-{environment.get('SLURM_JOB_ID', 'job')}"
    for missing in [part for part in (folder.parent, folder) if not part.is_dir()]:
        with contextlib.suppress(FileExistsError):
            missing.mkdir(parents=True)
            missing.chmod(0o777)  # other users' jobs lock the same files
    return folder


def _take(names: Sequence[str], count: int, folder: Path) -> list[str]:
    """Lock the first `count` free devices, or none: two jobs that each kept some could wait for one another forever."""
    taken: dict[str, FileLock] = {}
    for name in names:
        lock = FileLock(folder / f"{name.replace('/', '_')}.lock", mode=0o666)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            taken[name] = lock
            if len(taken) == count:
                _held.update(taken)
                return list(taken)
    for lock in taken.values():
        lock.release()
    return []


def take_devices(
    count: int,
    environment: MutableMapping[str, str] = os.environ,
    listed: Callable[[], list[str]] = machine_devices,
) -> list[str]:
    """Take `count` devices for this process until it ends; CUDA_VISIBLE_DEVICES then names these alone.

    Fewer are given where fewer are visible, none where there is no GPU. Waits while other jobs hold too many. The
    devices of SLURM, of CUDA_VISIBLE_DEVICES or of the process that started this one are respected.
    """
    # The driver's order, which is that of `nvidia-smi`; by itself CUDA puts the fastest device first.
    environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    devices = visible_devices(environment, listed)
    wanted = min(count, len(devices))
    if not devices:
        return []
    if wanted < 1:
        environment["CUDA_VISIBLE_DEVICES"] = ""
        return []
    if environment.get(TAKEN) == ",".join(devices):
        return devices[:wanted]
    folder = lock_folder(environment)
    taken = _take(devices, wanted, folder)
    if not taken:
        logger.warning("waiting for %d of the GPUs %s, which other jobs hold", wanted, ",".join(devices))
    while not taken:
        time.sleep(WAIT_S)
        taken = _take(devices, wanted, folder)
    environment["CUDA_VISIBLE_DEVICES"] = environment[TAKEN] = ",".join(taken)
    logger.info("took GPU %s of %s", ",".join(taken), ",".join(devices))
    return taken
