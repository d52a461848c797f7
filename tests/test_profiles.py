"""The profiles name rules that exist, and every rule that asks for a GPU is in the cluster's."""

import re

import pytest
import yaml

from tests.conftest import ROOT

BLOCKS = re.compile(r"^(?:rule |use rule \w+ as )(\w+)(.*?)(?=^(?:use )?rule |\Z)", re.MULTILINE | re.DOTALL)
RULES = {
    name: text for path in sorted((ROOT / "rules").glob("*.smk")) for name, text in BLOCKS.findall(path.read_text())
}


@pytest.mark.parametrize("name", ["default", "gpu", "slurm", "kubernetes"])
def test_every_rule_that_a_profile_names_exists(name: str) -> None:
    profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    assert {*profile.get("set-resources", {}), *profile.get("groups", {})} <= set(RULES)


def test_the_cluster_profile_says_how_each_gpu_is_asked_for() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    asking = {name for name, text in RULES.items() if re.search(r"^ +gpu=\d", text, re.M)}
    listed = {name for name, resources in profile["set-resources"].items() if "gpu" in resources}
    assert asking <= listed
