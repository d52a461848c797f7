"""The studies under config/ that need data or machines which are not here can still be planned here."""

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, SMOKE, replication_study, run_snakemake


def planned(folder: Path, config: Path) -> tuple[dict[str, int], str]:
    """How many jobs of each rule a dry run plans, and all that it says."""
    done = run_snakemake(folder, "--dry-run", config=config)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    output = done.stdout + done.stderr
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}, output


@pytest.mark.parametrize("name", ["feng2021", "fashion_mnist_gpu"])
def test_the_large_replication_studies_are_planned_without_their_data(name: str, tmp_path: Path) -> None:
    config = ROOT / f"config/{name}.yaml"
    study = yaml.safe_load(config.read_text())["replication"]
    subsets = sum(len(path["sizes"]) for path in study["datasets"].values()) * len(study.get("seeds", [0]))
    jobs, _ = planned(tmp_path, config)
    assert jobs["train_generator"] == subsets * len(study["generators"])
    assert jobs["compare_samples"] == jobs["train_generator"]
    assert jobs["estimate_one_shot"] == len(study["datasets"])


def test_pixels_at_a_stated_resolution_are_a_space_of_their_own(tmp_path: Path) -> None:
    study = replication_study() | {"datasets": yaml.safe_load(SMOKE.read_text())["datasets"]}
    study["spaces"] = {"coarse": {"kind": "pixel", "resolution": 8}}
    study["replication"] |= {"spaces": ["pixel", "coarse"], "neighbours": 5}
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    jobs, output = planned(tmp_path, config)
    assert jobs["extract_features"] == 1
    assert jobs["extract_sample_features"] == jobs["train_generator"]
    assert re.search(r"input: .*results/features/coarse/\S+/images.npy, .*results/features/coarse/biggan/", output)
