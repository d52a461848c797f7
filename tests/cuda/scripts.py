"""Every script of a GPU rule on a pretended GPU, beside what it computes on the CPU; trainings are stopped and resumed.

`python -m tests.cuda.scripts FOLDER CONFIG ...` takes jobs of these configs from copies of a finished smoke study, and
prints a line for each kind of job: a script with the names of its inputs.
"""

import os
import runpy
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tests.cuda.pretended as pretended  # before torch

import numpy as np  # isort: skip
import yaml  # isort: skip

from tests.conftest import Named
from workflow_scripts.engine.plan import Job, plan, rules

TOLERANCE = 0.05  # of values that no network made which learnt from rounding
RULES = rules()
SCRIPTS = {rule.name: rule.script for rule in RULES}
ASKING = {rule.script for rule in RULES if "gpu" in rule.resources}  # for a GPU


class NoLog(list[str]):
    problems = "problems.txt"  # of packing


def run_job(job: Job, gpus: int, limit_minutes: float | None = None) -> None:
    for path in job.output:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    settings = {"checkpoint_seconds": 0.0, "limit_minutes": limit_minutes, "cuda_graphs": False}
    seen = SimpleNamespace(
        rule=job.rule, log=NoLog(), input=job.input, output=job.output, params=Named(job.params),
        wildcards=Named(job.wildcards), threads=1, resources={**job.resources, "gpu": gpus},
        config={"training": settings},
    )  # fmt: skip
    runpy.run_path(str(SCRIPTS[job.rule]), init_globals={"snakemake": seen}, run_name="__main__")


def make(job: Job, jobs: list[Job]) -> None:
    """On the CPU, what the smoke study lacks: temporary files, and jobs of other configs."""
    if not all(Path(path).exists() for path in job.output):
        make_inputs(job, jobs)
        run_job(job, gpus=0)


def make_inputs(job: Job, jobs: list[Job]) -> None:
    for place in job.needs:
        make(jobs[place], jobs)


def arrays(job: Job) -> dict[str, np.ndarray]:
    return {path: np.load(path) for path in job.output if path.endswith(".npy")}


def compare(job: Job) -> None:
    """Run the job on the GPU; what it leaves is what the CPU left.

    A training is only compared in its form, whose first axis may be moments of its steps.
    """
    expected = arrays(job)
    if "checkpoints" in job.params:
        shutil.rmtree(job.params["checkpoints"], ignore_errors=True)
        try:
            run_job(job, gpus=1, limit_minutes=1e-9)
        except SystemExit:
            assert list(Path(job.params["checkpoints"]).rglob("step-*.pt")), "no checkpoint was left"
        else:
            raise AssertionError("it did not stop when its time was up")
    run_job(job, gpus=1)
    for path, values in arrays(job).items():
        assert values.dtype == expected[path].dtype, path
        assert values.shape[1:] == expected[path].shape[1:], path
        if "checkpoints" not in job.params:
            assert values.shape == expected[path].shape, path
            np.testing.assert_allclose(values, expected[path], rtol=TOLERANCE, atol=TOLERANCE, err_msg=path)


def jobs_of_each_kind(jobs: list[Job], kinds: set[tuple[Any, ...]]) -> Iterator[Job]:
    """The first GPU job of each kind that is not in `kinds` yet; readers come before the makers of what they read."""
    order = list(TopologicalSorter({place: job.needs for place, job in enumerate(jobs)}).static_order())
    for job in (jobs[place] for place in reversed(order)):
        kind = SCRIPTS[job.rule], *sorted(name for name, files in job.input.items() if files)
        if job.resources.get("gpu") and kind not in kinds:
            kinds.add(kind)
            yield job


def save_pipelines(config: Path) -> None:
    """Write the pipelines of diffusers that a study samples, each a network without training."""
    for samples in yaml.safe_load(config.read_text()).get("samples", {}).values():
        if samples["source"] == "diffusers":
            from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel  # seconds to import

            network = UNet2DModel(
                sample_size=16, in_channels=1, out_channels=1, block_out_channels=(2,), layers_per_block=1,
                norm_num_groups=1, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
                add_attention=False,
            )  # fmt: skip
            DDPMPipeline(network, DDPMScheduler(50)).save_pretrained(samples["path"])


def main() -> None:
    for config in sys.argv[2:]:
        save_pipelines(Path(config))
    pretended.install()
    kinds: set[tuple[Any, ...]] = set()
    done = set()  # scripts
    for config in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(sys.argv[1], copy, ignore=shutil.ignore_patterns(".snakemake"), dirs_exist_ok=True)
            jobs = plan(Path(config), ["all", "audit"], Path(copy), 1)
            os.chdir(copy)
            chosen = list(jobs_of_each_kind(jobs, kinds))
            for job in chosen:  # before any result is replaced
                make_inputs(job, jobs)
                make(job, jobs)
            for job in chosen:
                done.add(SCRIPTS[job.rule])
                pretended.TALLY.clear()
                try:
                    compare(job)
                    assert pretended.TALLY["launches"], "nothing ran on the GPU that it asks for"
                    print(job.rule, "ok", flush=True)
                except (Exception, SystemExit) as error:
                    at = traceback.extract_tb(error.__traceback__)[-1]
                    words = (str(error).strip().splitlines() or [""])[0]
                    print(job.rule, "FAILED", type(error).__name__, words, f"{at.filename}:{at.lineno}", flush=True)
            os.chdir("/")
    for rule, script in SCRIPTS.items():
        if script in ASKING - done:
            print(rule, "FAILED there is no job of its", flush=True)


if __name__ == "__main__":
    main()
