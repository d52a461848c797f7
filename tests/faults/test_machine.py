"""A full disk, a read-only folder, no memory, a second run in the same folder: one clear line, nothing half-written."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT, digests, not_here, replication_study, run_snakemake, snakemake_command
from workflow_scripts.core.job import run

# A job that writes a large array into results/, in a folder that is a disk of its own.
WRITES = """
import sys
from types import SimpleNamespace
import numpy as np
from workflow_scripts.core.files import write_json, write_npy
from workflow_scripts.core.job import run
def main(job):
    write_npy("results/small.npy", np.zeros(10))
    write_npy("results/large.npy", np.zeros(1_000_000))
nothing = {name: {} for name in ("wildcards", "params", "resources")}
run(main, SimpleNamespace(rule="some_rule", log=[], input=[], output=[], threads=1, **nothing))
"""


# Every writer of the workflow in turn, on a disk that has no room left: what each is told.
FILLED = """
import contextlib
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors.torch import save_file
from workflow_scripts.core import figures, files, job
from workflow_scripts.training.checkpoints import Checkpoints
with open("filler", "wb", buffering=0) as handle, contextlib.suppress(OSError):
    while True:
        handle.write(bytes(4096))
numbers = np.random.default_rng(0).random(20_000)
def weights():
    with files.atomic_path("results/a.safetensors") as temporary:
        save_file({"weight": torch.from_numpy(numbers)}, temporary)
writers = {
    "array": lambda: files.write_npy("results/a.npy", numbers),
    "parquet": lambda: files.write_parquet("results/a.parquet", pd.DataFrame({"a": numbers})),
    "csv": lambda: files.write_csv("results/a.csv", pd.DataFrame({"a": numbers})),
    "json": lambda: files.write_json("results/a.json", numbers.tolist()),
    "weights": weights,
    "figure": lambda: figures.save_figure(Figure(), "results/b.svg", pd.DataFrame(), "nothing"),
    "checkpoint": lambda: Checkpoints(Path("results/state")).save(1, {"weight": torch.from_numpy(numbers)}),
}
for name, write in writers.items():
    try:
        write()
    except Exception as error:
        print(name, (job._known_cause(error, "some_rule") or repr(error))[:16], sep=": ")
print(*(str(path) for path in Path("results").rglob("*") if path.is_file()))
"""


def on_a_disk(folder: Path, options: str, program: str = WRITES) -> "subprocess.CompletedProcess[str]":
    """Run a program where `folder` is a disk mounted with `options`, in a namespace that goes with it."""
    script = (
        f'mount -t tmpfs -o {options} none "$1" && cd "$1" && {{ test -w . && mkdir -p results; true; }} && '
        f'"$2" -c "$3"; code=$?; ls -A "$1/results" 2>/dev/null; exit $code'
    )
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    words = [*namespace, "sh", "-c", script, "sh", str(folder), sys.executable, program]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    if "unshare" in done.stderr or "mount:" in done.stderr:
        not_here("container", f"no mounts in a namespace of its own: {done.stderr.strip()}")
    return done


def test_a_full_disk_ends_in_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    done = on_a_disk(tmp_path, "size=1m")
    assert done.returncode == 1
    assert "Error in rule some_rule: the disk is full" in done.stderr
    assert "0.0 GB are free" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["small.npy"]


@pytest.mark.slow
def test_on_a_full_disk_no_writer_leaves_anything(tmp_path: Path) -> None:
    done = on_a_disk(tmp_path, "size=64k", FILLED)
    assert done.returncode == 0, done.stderr
    *said, left, folder = done.stdout.split("\n")[:-1]
    kinds = ("array", "parquet", "csv", "json", "weights", "figure", "checkpoint")
    assert said == [f"{kind}: the disk is full" for kind in kinds]
    assert left == ""
    assert folder in ("", "state")


def test_a_read_only_folder_ends_in_one_line(tmp_path: Path) -> None:
    done = on_a_disk(tmp_path, "ro")
    assert done.returncode == 1
    assert "Error in rule some_rule: no right to write or read a file" in done.stderr
    assert "results" in done.stderr
    assert "Traceback" not in done.stderr


def failing(error: Exception, rule: str, capfd: pytest.CaptureFixture[str]) -> str:
    def main(_: object) -> None:
        raise error

    with pytest.raises(SystemExit):
        run(main, SimpleNamespace(rule=rule, log=[], input=[], output=[], wildcards=[]))
    return capfd.readouterr().err


@pytest.mark.parametrize(
    ("rule", "knob"),
    [("train_generator", "raise `accumulate`"), ("train_student", "lower `batch`"), ("draw_samples", "of its own")],
)
def test_out_of_gpu_memory_names_the_knob(
    rule: str, knob: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), rule, capfd)
    assert "out of GPU memory (CUDA out of memory. Tried" in caplog.text
    assert knob in caplog.text


def test_out_of_memory_says_what_to_do(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    failing(MemoryError("Unable to allocate 3.00 TiB"), "measure_similarity", capfd)
    assert "out of memory (Unable to allocate 3.00 TiB)" in caplog.text
    assert "--resources mem_mb" in caplog.text


def own_study(folder: Path, images: Path) -> Path:
    study = replication_study()
    study["datasets"] = {
        "mine": {"source": "npy", "images": str(images), "resolution": 16, "color": "grey", "held_out": 30}
    }
    study["replication"] |= {"datasets": {"mine": {"sizes": [20]}}, "spaces": ["pixel"]}
    folder.mkdir()
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    return config


@pytest.mark.slow
def test_two_runs_in_one_folder_and_two_that_share_their_data(tmp_path: Path) -> None:
    """The second in one folder is refused; two in their own folders, on the same images, do not disturb each other."""
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).integers(0, 256, (60, 16, 16, 1), dtype=np.uint8))
    target = "results/complexity/mine/size-20/seed-0.json"
    folders = [tmp_path / "one", tmp_path / "two"]
    configs = [own_study(folder, images) for folder in folders]
    runs = [
        subprocess.Popen(
            snakemake_command(folder, "--", target, config=config),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for folder, config in zip(folders, configs, strict=True)
    ]  # fmt: skip
    while not any(lock.stat().st_size for lock in (folders[0] / ".snakemake/locks").glob("*.output.lock")):
        assert runs[0].poll() is None, "the run ended before it locked its folder"
        time.sleep(0.05)
    runs[0].send_signal(signal.SIGSTOP)  # it could end before the second looks
    refused = run_snakemake(folders[0], "--", target, config=configs[0])
    runs[0].send_signal(signal.SIGCONT)
    assert refused.returncode != 0
    assert "Directory cannot be locked" in refused.stdout + refused.stderr
    assert "--unlock" in refused.stdout + refused.stderr
    assert [run.wait() for run in runs] == [0, 0]
    artifacts = [digests(folder) for folder in folders]
    assert artifacts[0] == artifacts[1]
    shutil.rmtree(folders[1])
