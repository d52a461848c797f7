"""The scripts of the stage write what their rules declare, the same bytes each time, and never import torch."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "resources/published"

IN_A_FRESH_PROCESS = """
import json, runpy, sys
from types import SimpleNamespace

class Named(dict):
    __getattr__ = dict.__getitem__

job = {key: Named(value) if isinstance(value, dict) else value for key, value in json.loads(sys.argv[2]).items()}
runpy.run_path(sys.argv[1], init_globals={"snakemake": SimpleNamespace(log=[], **job)})
assert "torch" not in sys.modules
"""


class Named(dict):  # type: ignore[type-arg]
    """Snakemake's named files: by key and by attribute."""

    __getattr__ = dict.__getitem__


def figures(folder: Path, *names: str) -> dict[str, str]:
    paths = {name: str(folder / f"{name}.svg") for name in names}
    return paths | {f"{name}_png": str(folder / f"{name}.png") for name in names}


def test_fit_decay_writes_its_files_the_same_each_time(tmp_path: Path) -> None:
    size = np.repeat([8, 16, 32, 64, 128], 2)
    table = pd.DataFrame({"size": size, "seed": np.tile([0, 1], 5)}).assign(
        generator="biggan", dataset="sprites", space="pixel", threshold="calibrated-0.01", threshold_rms=0.08,
        samples=1024, replicas=np.random.default_rng(0).binomial(1024, 0.01 + 0.8 / size),
        background_percentage=1.0, intrinsic_dimension=np.nan, intrinsic_dimension_low=np.nan,
        intrinsic_dimension_high=np.nan,
    )  # fmt: skip
    table.to_csv(tmp_path / "table.csv", index=False)
    contents = []
    for i in range(2):
        folder = tmp_path / str(i)
        output = {"fits": str(folder / "fits.csv"), "laws": str(folder / "laws.json")}
        job = SimpleNamespace(
            rule="fit_decay",
            log=[],
            input=Named(table=tmp_path / "table.csv"),
            output=Named(output | figures(folder, "size", "dimension")),
            params=Named(wanted_percentage=1.0),
            wildcards={},
            threads=1,
            resources={},
        )
        runpy.run_path(str(ROOT / "workflow_scripts/laws/fit_decay.py"), init_globals={"snakemake": job})
        contents.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert len(contents[0]) == 8
    assert contents[0] == contents[1]
    laws = json.loads(contents[0]["laws.json"])
    assert laws["safe_sizes"][0]["size"] > 16


def test_fit_published_writes_its_files_without_torch(tmp_path: Path) -> None:
    tables = ("fits", "leave_one_out", "binomial_fits", "comparison", "size_laws")
    files = {"replication": "replication", "dimension": "intrinsic_dimension", "quality": "quality"}
    job = {
        "rule": "fit_published",
        "wildcards": {},
        "params": {},
        "threads": 1,
        "resources": {},
        "input": {key: str(PUBLISHED / f"feng2021_{name}.csv") for key, name in files.items()},
        "output": {name: str(tmp_path / f"{name}.csv") for name in tables}
        | figures(tmp_path, "law", "left_out", "quality"),
    }
    script = str(ROOT / "workflow_scripts/laws/fit_published.py")
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, script, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 14
    header = (tmp_path / "fits.csv").read_text().splitlines()[0]
    assert header.startswith("threshold_l2_255,generator,dataset,level,rate,a,b,c,r2,median_absolute_error,")
