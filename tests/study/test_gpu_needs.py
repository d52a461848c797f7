"""Which rules of a study need how much GPU memory."""

from typing import Any

import pytest
import yaml

from tests.conftest import SMOKE
from workflow_scripts.config.validation import validate
from workflow_scripts.engine.plan import rules
from workflow_scripts.study import gpu_needs
from workflow_scripts.study.gpu_needs import AS_MUCH_AS_IS_FREE, LITTLE, needs


def smoke(protocol: str = "fresh") -> dict[str, Any]:
    """The smoke study, with audits of a diffusion model and of a GAN."""
    study = yaml.safe_load(SMOKE.read_text())
    study["generators"]["denoising"] = {"family": "diffusion", "preset": "tiny"}
    study["samples"] = {"own": {"source": "generator", "generator": "denoising", "size": 24}}
    study["samples"]["own-gan"] = {"source": "generator", "generator": "biggan", "size": 24}
    study["samples"]["elsewhere"] = {"source": "diffusers", "path": "/data/my-pipeline"}
    study["audit"] = {
        "datasets": {"fashion-mnist": {"samples": ["own", "own-gan", "elsewhere"]}},
        "spaces": ["pixel", "simclr"],
    }
    study["replication"]["generators"].append("denoising")
    study["distillation"]["protocol"] = protocol
    return validate(study, "smoke")


def test_every_gpu_rule_is_listed() -> None:
    listed = [
        rule for protocol in ("fresh", "stored") for need in needs(smoke(protocol)) for rule in need.rules.split(", ")
    ]
    assert {*listed, *AS_MUCH_AS_IS_FREE, *LITTLE} == {rule.name for rule in rules() if "gpu" in rule.resources}
    assert not set(listed) & {*AS_MUCH_AS_IS_FREE, *LITTLE}


def test_networks_are_listed_with_their_batches_and_the_size_of_their_images() -> None:
    listed = list(needs(smoke()))
    batches = {
        need.rules.split(",")[0]: need.work.batch for need in listed if need.name not in ("denoising", "elsewhere")
    }
    assert batches == {
        "train_generator": 8, "draw_samples": 8, "train_class_generator": 4, "draw_candidates": 4, "train_simclr": 16,
        "extract_features": 128, "search_samples": 0, "score_by_generator": 256,
        "measure_similarity": 0, "choose_groups": 0,
        "train_baselines": 8, "select_images": 1024, "train_teacher": 8, "train_student": 8,
        "look_with_teachers": 512, "look_with_students": 512, "compare_maps": 512,
    }  # fmt: skip
    assert {(need.shape.resolution, need.shape.channels) for need in listed} == {(16, 1)}
    assert [(need.rules, need.work.batch) for need in listed if need.name == "elsewhere"] == [
        ("draw_pipeline_samples", 64), ("score_by_generator", 256),
    ]  # fmt: skip
    assert [need.rules for need in listed if need.name == "denoising"] == [
        "train_generator", "draw_samples", "score_by_generator",
    ]  # fmt: skip


def test_the_command_names_rule_network_size_and_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONFIG", str(SMOKE))
    monkeypatch.setattr(gpu_needs, "needed_mb", lambda work, shape: 1234)
    gpu_needs.main()
    _, first, *others = capsys.readouterr().out.splitlines()
    assert first == "    1.2 GB  train_generator: biggan, 16 px, batch 8"
    assert others[-2].startswith("  what is free, 2 GB or more: estimate_dimension, ")
    monkeypatch.setenv("CONFIG", "nowhere.yaml")
    with pytest.raises(SystemExit, match="make gpu-memory: CONFIG: there is no file nowhere"):
        gpu_needs.main()
