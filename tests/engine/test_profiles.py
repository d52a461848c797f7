"""The profiles name rules that exist, and every rule that asks for a GPU is in the cluster's."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, cluster_command
from workflow_scripts.core.job import GPU_MEMORY
from workflow_scripts.engine.plan import Rule, rules

RULES = {rule.name: rule for rule in rules()}


def on_gpus() -> list[Rule]:
    return [rule for rule in RULES.values() if "gpu" in rule.resources]


@pytest.mark.parametrize("name", ["default", "gpu", "slurm", "kubernetes"])
def test_every_rule_that_a_profile_names_exists(name: str) -> None:
    profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    assert {*profile.get("set-resources", {}), *profile.get("groups", {})} <= set(RULES)


def test_every_script_of_a_gpu_rule_takes_its_devices_from_the_allocator() -> None:
    scripts = {rule.script for rule in on_gpus()}
    assert len(scripts) > 15
    for script in scripts:
        assert script
        calls = [node.func for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
        assert {"device_of_job", "devices_of_job"} & set(map(ast.unparse, calls)), script


def test_every_training_on_a_gpu_says_what_lowers_its_memory() -> None:
    assert {rule.name for rule in on_gpus() if rule.name.startswith("train_")} == set(GPU_MEMORY)


def test_the_cluster_profile_says_how_each_gpu_is_asked_for() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    listed = {name for name, resources in profile["set-resources"].items() if "gpu" in resources}
    assert {rule.name for rule in on_gpus()} == listed


def test_a_profile_of_the_project_is_named_as_one_of_the_workflow() -> None:
    """With `--profile` profiles/default is read, too, and its resources count: there is no limit on GPUs then."""
    texts = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "config").glob("*.yaml"), *(ROOT / "profiles").rglob("*.yaml")]
    named = {path.name: re.findall(r"--(\S*profile)[ =]profiles/(\w+)", path.read_text()) for path in texts}
    assert {kind for uses in named.values() for kind, _ in uses} == {"workflow-profile"}, named


def test_every_rule_belongs_to_a_stage() -> None:
    stages = {name: rule.stage for name, rule in RULES.items() if name != "all"}
    assert stages["pack_images"] == "data"
    assert stages["search_control_shard"] == "replication"
    assert stages["train_class_generator"] == "rebalancing"  # takes its work from a rule of another stage
    assert set(stages.values()) == {path.stem for path in (ROOT / "rules").glob("*.smk")} - {"common", "inputs"}


def test_no_job_of_a_group_waits_for_one_that_waits_for_the_group(tmp_path: Path) -> None:
    """Planning finds such circles: a law that stands outside the group of its table and its figure, for one."""
    plan = subprocess.run(cluster_command(tmp_path, "-n", "--quiet=all"), capture_output=True, text=True, cwd=tmp_path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
