"""Devices are handed out once each, to real processes, some of which are killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from workflow_scripts.core import gpus
from workflow_scripts.core.gpus import TAKEN, lock_folder, parse_devices, requested_gpus, take_devices, visible_devices

DIVIDED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-a8f1d3b9-0b6a-4a39-9a12-3c1f0f9b1f10)
"""

# Takes devices, says which, and holds them until its standard input ends.
HOLDER = """
import logging, sys
from workflow_scripts.core.gpus import take_devices
logging.basicConfig(level=logging.INFO, format="%(message)s")
print(",".join(take_devices(int(sys.argv[1]), listed=lambda: ["0", "1", "2"])), flush=True)
sys.stdin.read()
"""


class Job:
    """A process that takes devices."""

    def __init__(self, count: int, environment: dict[str, str], script: str = HOLDER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(count)], env=environment, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def devices(self) -> set[str]:
        """What it took; waits until it did."""
        assert self.process.stdout
        return set(self.process.stdout.readline().strip().split(","))

    def says(self) -> str:
        """Its next line in the log."""
        assert self.process.stderr
        return self.process.stderr.readline().strip()

    def let_go(self) -> None:
        """Let it end as soon as it has its devices."""
        assert self.process.stdin
        self.process.stdin.close()

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "SLURM_"))}
    return kept | {"COPYCAT_GPU_LOCKS": str(tmp_path / "locks"), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def own_locks() -> Iterator[None]:
    yield
    while gpus._held:
        gpus._held.popitem()[1].release()


def test_jobs_at_once_get_different_devices_and_the_next_one_waits(environment: dict[str, str]) -> None:
    jobs = [Job(1, environment) for _ in range(3)]
    assert set.union(*(job.devices() for job in jobs)) == {"0", "1", "2"}
    late = Job(1, environment)
    assert late.says() == "waiting for 1 of the GPUs 0,1,2, which other jobs hold"
    jobs[1].end()
    [variables] = late.devices()
    assert late.says() == f"took GPU {variables} of 0,1,2"
    for job in (jobs[0], jobs[2], late):
        job.end()


def test_who_waits_outside_a_job_is_told_so(environment: dict[str, str]) -> None:
    """`make estimate` has no log, and measures rates on a GPU."""
    holder = Job(3, environment)
    holder.devices()
    script = re.sub("logging.basicConfig.*", "", HOLDER)
    waiting = Job(1, environment, script)
    assert waiting.says().startswith("waiting for 1 of the GPUs 0,1,2, which other jobs hold")
    holder.end()
    waiting.end()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_gives_its_devices_back(environment: dict[str, str], by: signal.Signals) -> None:
    holder = Job(2, environment)
    held = holder.devices()
    waiting = Job(2, environment)
    assert waiting.says().startswith("waiting for 2 of the GPUs")
    os.kill(holder.process.pid, by)
    assert holder.process.wait() == -by
    assert waiting.devices() == held == {"0", "1"}
    waiting.end()


def test_two_that_wait_for_many_do_not_block_each_other(environment: dict[str, str]) -> None:
    first = Job(1, environment)
    first.devices()
    greedy = [Job(3, environment), Job(3, environment)]
    for job in greedy:
        assert "waiting for 3" in job.says()
    modest = Job(2, environment)  # those who wait hold nothing
    assert modest.devices() == {"1", "2"}
    modest.end()
    first.end()
    for job in greedy:  # either may be the first: neither is to hold what it takes
        job.let_go()
    for job in greedy:
        assert "took GPU 0,1,2" in job.says()
        assert job.devices() == {"0", "1", "2"}


def test_a_jobs_own_processes_share_its_devices(environment: dict[str, str], own_locks: None) -> None:
    assert take_devices(1, environment, lambda: ["0", "1"]) == ["0"]
    assert environment["CUDA_VISIBLE_DEVICES"] == environment[TAKEN] == "0"
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"  # numbers are those of nvidia-smi
    child = Job(1, environment)
    assert child.devices() == {"0"}
    child.end()


def test_only_visible_devices_are_taken(environment: dict[str, str], own_locks: None) -> None:
    environment["CUDA_VISIBLE_DEVICES"] = "2,MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
    assert take_devices(5, environment) == ["2", "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"]


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_without_a_device_nothing_is_taken_and_nothing_waits(environment: dict[str, str], value: str) -> None:
    assert take_devices(1, environment | {"CUDA_VISIBLE_DEVICES": value}) == []
    assert take_devices(1, environment, list) == []
    assert not gpus._held


def test_a_job_that_asks_for_none_sees_none(environment: dict[str, str]) -> None:
    assert take_devices(0, environment, lambda: ["0"]) == []
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_jobs_of_slurm_share_devices_only_among_themselves(environment: dict[str, str], own_locks: None) -> None:
    """Two jobs on one node may both call their device 0; the jobs of one group share what the group was given."""
    first, second = (
        environment | {"SLURM_JOB_ID": job, "SLURM_JOB_GPUS": device, "CUDA_VISIBLE_DEVICES": "0"}
        for job, device in (("1", "0"), ("2", "1"))
    )
    assert lock_folder(first) != lock_folder(second)
    assert Job(1, first).devices() == {"0"}
    assert take_devices(1, second) == ["0"]
    group = environment | {"SLURM_JOB_ID": "3", "SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}
    members = [Job(1, group), Job(1, group)]
    assert set.union(*(job.devices() for job in members)) == {"0", "1"}
    for job in members:
        job.end()


def test_the_locks_are_open_to_every_user(environment: dict[str, str], own_locks: None) -> None:
    before = os.umask(0o077)
    try:
        take_devices(1, environment, lambda: ["0"])
    finally:
        os.umask(before)
    folder = lock_folder(environment)
    assert folder.stat().st_mode & 0o777 == 0o777
    assert (folder / "0.lock").stat().st_mode & 0o666 == 0o666


def test_the_listing_names_devices_as_cuda_does() -> None:
    assert parse_devices(DIVIDED) == [
        "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",
        "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb",
        "1",
    ]
    assert parse_devices("No devices found.\n") == []


def test_visible_devices_are_read_as_cuda_reads_them() -> None:
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "1, 0"}) == ["1", "0"]
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "1,-1,0"}) == ["1"]
    assert visible_devices({}, lambda: ["0"]) == ["0"]


@pytest.mark.parametrize(
    ("resources", "count"),
    [
        ({"gpu": 2}, 2),
        ({"gpu": 0}, 0),
        ({}, 1),
        ({"gpu": 0, "gres": "gpu:3"}, 3),
        ({"gres": "gpu:a100:2"}, 2),
        ({"gres": "gpu:a100"}, 1),
        ({"gpu": 1, "gres": "lscratch:20"}, 1),
    ],
)
def test_a_request_is_read_as_gpu_or_as_gres(resources: dict[str, object], count: int) -> None:
    assert requested_gpus(resources) == count
