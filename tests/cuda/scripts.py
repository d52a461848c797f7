"""The scripts of all GPU rules on a pretended GPU, with the jobs of a finished smoke study; trainings are resumed once.

`python -m tests.cuda.scripts FOLDER CONFIG` prints a line for each rule. Its results replace the study's, which were
computed on the CPU, after they have been compared with them.
"""

import os
import runpy
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tests.cuda.pretended as pretended  # before torch

import numpy as np  # isort: skip

from tests.conftest import Named
from workflow_scripts.engine.plan import Job, plan, rules

TOLERANCE = 0.05  # of values that no network made which learnt from rounding


def arrays(job: Job) -> dict[str, np.ndarray]:
    return {path: np.load(path) for path in job.outputs if path.endswith(".npy") and Path(path).exists()}


def run_job(script: Path, job: Job, limit_minutes: float | None) -> None:
    settings = {"checkpoint_seconds": 0.0, "limit_minutes": limit_minutes, "cuda_graphs": False}
    seen = SimpleNamespace(
        rule=job.rule, log=[], input=job.input, output=job.output, params=Named(job.params),
        wildcards=Named(job.wildcards), threads=1, resources=job.resources, config={"training": settings},
    )  # fmt: skip
    runpy.run_path(str(script), init_globals={"snakemake": seen}, run_name="__main__")


def compare(job: Job, script: Path) -> str:
    """What the script leaves, fresh or resumed, beside what the CPU left."""
    expected = arrays(job)
    launches = pretended.TALLY["launches"]
    if "checkpoints" in job.params:
        try:
            run_job(script, job, 1e-9)
        except SystemExit:
            assert list(Path(job.params["checkpoints"]).rglob("step-*.pt")), "no checkpoint was left"
        else:
            raise AssertionError("it did not stop when its time was up")
    run_job(script, job, None)
    assert pretended.TALLY["launches"] > launches, "nothing ran on the GPU"
    for path, values in arrays(job).items():
        assert values.shape == expected[path].shape, path
        assert values.dtype == expected[path].dtype, path
        if "checkpoints" not in job.params and values.dtype.kind == "f":
            np.testing.assert_allclose(values, expected[path], rtol=TOLERANCE, atol=TOLERANCE, err_msg=path)
    return "ok"


def main() -> None:
    pretended.install()
    folder, config = Path(sys.argv[1]), Path(sys.argv[2])
    scripts: dict[str, Any] = {rule.name: rule.script for rule in rules()}
    jobs = plan(config, [], folder, 2)
    os.chdir(folder)
    first = {job.rule: job for job in reversed(jobs) if job.resources.get("gpu")}
    for rule, job in first.items():
        try:
            if all(Path(path).exists() for path in job.input):
                print(rule, compare(job, scripts[rule]), flush=True)
        except BaseException as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            words = (str(error).strip().splitlines() or [""])[0]
            print(rule, "FAILED", type(error).__name__, words, f"{Path(at.filename).name}:{at.lineno}", flush=True)


if __name__ == "__main__":
    main()
