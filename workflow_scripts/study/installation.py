"""What `make gpu-check` asks of an installation: the lock, the image, and a study that is killed and run again."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
import yaml

from workflow_scripts.containers.check_image import locked_versions, wrong_versions
from workflow_scripts.containers.image import LOCK, image_path
from workflow_scripts.core.files import sha256

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "config/smoke.yaml"
RUN = "biggan/fashion-mnist/size-24/seed-0"
SEE_DEVICES = """
import torch
ones = torch.ones(64, 64, device="cuda" if torch.cuda.is_available() else "cpu")
assert (ones @ ones).sum() == 64**3
print(", ".join(map(torch.cuda.get_device_name, range(torch.cuda.device_count()))) or "the CPU")
"""


class NotHere(Exception):
    """This machine lacks what a claim is about."""


def as_locked() -> str:
    """The installed packages are those of the lock."""
    locked = locked_versions((ROOT / LOCK).read_text(encoding="utf-8"))
    wrong = wrong_versions(locked)
    assert not wrong, f"{len(wrong)} are not: {'; '.join(wrong[:3])}"
    return f"{len(locked)} packages as in {LOCK}"


def same_in_image() -> str:
    """PyTorch computes on the same devices inside the image, with `--nv`, as outside."""
    image = image_path(ROOT)
    if not shutil.which("apptainer"):
        raise NotHere("Apptainer is not installed")
    if not image.exists():
        raise NotHere(f"the image is not built (`make image`): {image.name}")
    command = ["apptainer", "exec", "--cleanenv", "--nv", str(image), "python", "-c", SEE_DEVICES]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        command[3:3] = ["--env", f"CUDA_VISIBLE_DEVICES={visible}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (done.stderr.strip().splitlines() or ["no word"])[-1]
    inside = done.stdout.strip().splitlines()[-1]
    outside = ", ".join(map(torch.cuda.get_device_name, range(torch.cuda.device_count()))) or "the CPU"
    assert inside == outside, f"{inside} inside, {outside} outside"
    return f"{inside}, in {image.name}"


def same_after_kill() -> str:
    """A study whose run is killed in the middle of a training ends in the same bytes when it is run again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = yaml.safe_load(SMOKE.read_text(encoding="utf-8"))
        study = {key: study[key] for key in ("datasets", "generators", "replication", "complexity")}
        study["replication"]["spaces"] = ["pixel"]
        study["training"] = {"checkpoint_seconds": 0}  # one after each step
        (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
        _run(folder)
        undisturbed = _digests(folder)
        for part in ("generators", "samples"):
            shutil.rmtree(folder / "results" / part)
        step = _kill_after_a_checkpoint(folder)
        _run(folder, "--unlock")
        _run(folder)
        again = _digests(folder)
        apart = [path for path, digest in undisturbed.items() if again.get(path) != digest]
        assert not apart, f"{len(apart)} of {len(undisturbed)} files differ, the first is {apart[0]}"
        return f"{len(undisturbed)} files, killed after step {step}"


def _command(folder: Path, *arguments: str) -> list[str]:
    """A part of the smoke study: a generator is trained, and samples are drawn."""
    engine = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    engine += ["--profile", str(ROOT / "profiles/default"), "--cores=1", f"--configfile={folder / 'study.yaml'}"]
    return [*engine, *arguments, "--", f"results/samples/{RUN}/images.npy"]


def _run(folder: Path, *arguments: str) -> None:
    done = subprocess.run(_command(folder, *arguments), capture_output=True, text=True)
    assert done.returncode == 0, (done.stderr.strip().splitlines() or ["no word"])[-1]


def _kill_after_a_checkpoint(folder: Path) -> int:
    """Start the run, and kill all its processes as soon as its training has left a checkpoint, of the step given."""
    process = psutil.Popen(
        _command(folder), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (left := sorted((folder / "results/checkpoints").rglob("step-*.pt"))):
        assert process.poll() is None, "the run ended before its training left a checkpoint"
        time.sleep(0.01)
    jobs = process.children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for job in jobs:  # it may have left the process group
        if job.is_running():
            job.kill()
    process.wait()
    assert not (folder / f"results/samples/{RUN}/images.npy").exists(), "the run ended before it was killed"
    return int(left[-1].stem.split("-")[1])


def _digests(folder: Path) -> dict[str, str]:
    """Of what the run leaves of generators and samples, without records of when and where."""
    parts = (folder / "results" / part for part in ("generators", "samples"))
    return {str(path.relative_to(folder)): sha256(path) for part in parts for path in part.rglob("*") if path.is_file()}
