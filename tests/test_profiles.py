"""The profiles name rules that exist, and every rule that asks for a GPU is in the cluster's."""

import re

import pytest
import yaml

from tests.conftest import ROOT
from workflow_scripts.core.job import GPU_MEMORY

BLOCKS = re.compile(r"^(?:rule |use rule \w+ as )(\w+)(.*?)(?=^(?:use )?rule |\Z)", re.MULTILINE | re.DOTALL)
RULES = {
    name: text for path in sorted((ROOT / "rules").glob("*.smk")) for name, text in BLOCKS.findall(path.read_text())
}


@pytest.mark.parametrize("name", ["default", "gpu", "slurm", "kubernetes"])
def test_every_rule_that_a_profile_names_exists(name: str) -> None:
    profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    assert {*profile.get("set-resources", {}), *profile.get("groups", {})} <= set(RULES)


def test_every_script_of_a_gpu_rule_takes_its_devices_from_the_allocator() -> None:
    scripts = {
        ROOT / "rules" / found[1]
        for text in RULES.values()
        if re.search(r"^ +gpu=\d", text, re.M) and (found := re.search(r"^ +script:\s+\"(.*)\"", text, re.M))
    }
    assert len(scripts) > 15
    for script in scripts:
        assert re.search(r"^ +.*\bprepare_torch\(", script.read_text(), re.M), script


def test_every_training_on_a_gpu_says_what_lowers_its_memory() -> None:
    trainings = {name for name, text in RULES.items() if name.startswith("train_") and "gpu=1" in text}
    assert {*trainings, "train_class_generator"} == set(GPU_MEMORY)  # which has its resources from train_generator


def test_the_cluster_profile_says_how_each_gpu_is_asked_for() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    asking = {name for name, text in RULES.items() if re.search(r"^ +gpu=\d", text, re.M)}
    listed = {name for name, resources in profile["set-resources"].items() if "gpu" in resources}
    assert asking <= listed
