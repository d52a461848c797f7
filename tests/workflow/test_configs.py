"""The studies under config/ that need data or machines which are not here can still be planned here."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, SMOKE, replication_study
from workflow_scripts.engine.plan import plan


@pytest.mark.parametrize("name", ["feng2021", "fashion_mnist_gpu"])
def test_the_large_replication_studies_are_planned_without_their_data(name: str, tmp_path: Path) -> None:
    config = ROOT / f"config/{name}.yaml"
    study = yaml.safe_load(config.read_text())["replication"]
    subsets = sum(len(path["sizes"]) for path in study["datasets"].values()) * len(study.get("seeds", [0]))
    jobs = Counter(job.rule for job in plan(config, [], tmp_path, 2))
    assert jobs["train_generator"] == subsets * len(study["generators"])
    assert jobs["compare_samples"] == jobs["train_generator"]
    assert jobs["estimate_one_shot"] == len(study["datasets"])


def test_pixels_at_a_stated_resolution_are_a_space_of_their_own(tmp_path: Path) -> None:
    study = replication_study() | {"datasets": yaml.safe_load(SMOKE.read_text())["datasets"]}
    study["spaces"] = {"coarse": {"kind": "pixel", "resolution": 8}}
    study["replication"] |= {"spaces": ["pixel", "coarse"], "neighbours": 5}
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    jobs = plan(config, [], tmp_path, 2)
    counts = Counter(job.rule for job in jobs)
    assert counts["extract_features"] == 1
    assert counts["extract_sample_features"] == counts["train_generator"]
    for job in jobs:
        if job.rule == "compare_samples":
            assert {"extract_features", "extract_sample_features"} <= {jobs[i].rule for i in job.needs}


def test_only_a_network_that_looks_at_a_large_set_gets_two_threads(tmp_path: Path) -> None:
    study = replication_study() | {"datasets": yaml.safe_load(SMOKE.read_text())["datasets"]}
    study["spaces"] = {"coarse": {"kind": "pixel", "resolution": 8}, "perceptual": {"kind": "perceptual"}}
    study["replication"] |= {"spaces": ["coarse", "perceptual"], "neighbours": 5}
    config, images = tmp_path / "study.yaml", tmp_path / "results/data/fashion-mnist/images.npy"
    config.write_text(yaml.safe_dump(study))
    images.parent.mkdir(parents=True)
    with images.open("wb") as file:
        file.truncate(300_000_000)  # a hole: it takes no place
    jobs = [job for job in plan(config, [], tmp_path, 2) if job.rule.startswith("extract_")]
    wanted = [job for job in jobs if (job.rule, job.wildcards["space"]) == ("extract_features", "perceptual")]
    assert len(wanted) == 1
    assert [job for job in jobs if job.threads > 1] == wanted


def test_generators_of_the_config_are_audited_on_what_they_were_trained_on(tmp_path: Path) -> None:
    study = {
        "datasets": yaml.safe_load(SMOKE.read_text())["datasets"],
        "generators": {name: {"family": name, "preset": "tiny"} for name in ("biggan", "diffusion")},
        "samples": {
            f"own-{name}": {"source": "generator", "generator": name, "size": 12} for name in ("biggan", "diffusion")
        },
        "audit": {"datasets": {"fashion-mnist": {"samples": ["own-biggan", "own-diffusion"]}}, "spaces": ["pixel"]},
    }
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    jobs = plan(config, ["audit"], tmp_path, 2)
    counts = Counter(job.rule for job in jobs)
    assert counts["train_generator"] == counts["draw_samples"] == counts["search_samples"] == 2
    assert (counts["search_audit_controls"], counts["score_by_generator"]) == (1, 2)  # one subset, two models
    assert "pack_samples" not in counts
    for job in jobs:
        if job.rule == "search_samples":
            assert {"draw_samples", "draw_subsets"} <= {jobs[i].rule for i in job.needs}


def test_a_pipeline_is_sampled_and_asked_and_a_set_to_release_is_written(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    study = {
        "datasets": yaml.safe_load(SMOKE.read_text())["datasets"],
        "samples": {"pipeline": {"source": "diffusers", "path": str(tmp_path / "mine")}},
        "audit": {"datasets": {"fashion-mnist": {"samples": ["pipeline"]}}, "spaces": ["pixel"], "release": True},
    }
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    jobs = {job.rule: job for job in plan(config, ["audit"], tmp_path, 2)}
    for rule, needed in {
        "pack_samples": "draw_pipeline_samples", "measure_audit": "score_by_generator", "write_audit": "measure_audit",
    }.items():  # fmt: skip
        assert needed in {list(jobs)[i] for i in jobs[rule].needs}
    assert any(path.endswith("release.npy") for path in jobs["measure_audit"].output)
    assert all(str(job.log).startswith(f"results/logs/{rule}") for rule, job in jobs.items() if job.output)
