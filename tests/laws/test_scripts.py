"""The scripts of the stage write what their rules declare, the same bytes each time."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.conftest import run_script


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
        output |= {name: str(folder / f"{name}.svg") for name in ("size", "dimension")}
        run_script("laws/fit_decay", {"table": tmp_path / "table.csv"}, output, {"wanted_percentage": 1.0})
        contents.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert len(contents[0]) == 8
    assert contents[0] == contents[1]
    laws = json.loads(contents[0]["laws.json"])
    assert laws["safe_sizes"][0]["size"] > 16
