"""The profiles name rules that exist, and every rule that asks for a GPU is in the cluster's."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, SMOKE, cluster_command
from workflow_scripts.core.gpus import requested_gpus
from workflow_scripts.core.job import GPU_MEMORY
from workflow_scripts.engine.plan import Rule, rules

RULES = {rule.name: rule for rule in rules()}
# Rules of which some jobs compute nothing on a GPU. They say by themselves which do.
SOMETIMES = {name for name in RULES if name.startswith("extract_")} | {"select_images"}


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
    assert listed == {rule.name for rule in on_gpus()} - SOMETIMES
    assert {rule.name for rule in on_gpus()} & set(profile["set-resources"]) >= SOMETIMES


# As the comment in the profile says, where the cluster wants --gres.
ENCODED = "'gpu:1' if wildcards.space in ['simclr'] and not input.get('shards') else ''"
GRES = (
    "select_images:gpu=0",
    "select_images:gres='gpu:1' if wildcards.choice != 'random' else ''",
    *(f"{name}:gpu=0" for name in SOMETIMES if name.startswith("extract_")),
    *(f"{name}:gres={ENCODED}" for name in SOMETIMES if name.startswith("extract_")),
)


@pytest.mark.parametrize("profile", ["default", "gpu", "slurm", "kubernetes"])
def test_no_profile_gives_a_gpu_to_all_jobs_of_a_rule_that_needs_it_for_some(profile: str) -> None:
    resources = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text()).get("set-resources", {})
    assert not [name for name in SOMETIMES & set(resources) if {"gpu", "gres"} & set(resources[name])]


@pytest.mark.parametrize("gres", [(), pytest.param(GRES, marks=pytest.mark.slow)], ids=["gpu", "gres"])
def test_on_a_cluster_only_jobs_that_compute_on_a_gpu_ask_for_one(tmp_path: Path, gres: tuple[str, ...]) -> None:
    """Planning also finds circles: a job of a group that waits for one that waits for the group."""
    study = yaml.safe_load(SMOKE.read_text())
    study["spaces"] |= {
        "low": {"kind": "pixel", "resolution": 8},
        "both": {"kind": "joint", "parts": ["low", "simclr"]},
    }
    study["replication"] |= {"spaces": ["simclr", "low", "both"], "shards": 2}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    extra = ["--set-resources", *gres] if gres else []
    words = cluster_command(tmp_path, "-n", *extra, config=tmp_path / "study.yaml")
    plan = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    asked: dict[str, set[bool]] = {}
    for rule, lines in re.findall(r"^ *rule (\w+):\n((?: +\w+: .*\n)+)", plan.stdout, re.MULTILINE):
        if rule in SOMETIMES:
            [kind] = re.findall(r"(?:space|choice)=([\w-]+)", lines)
            joined = " of parts" * ("/shard-" in re.findall("input: (.*)", lines)[0])
            wanted = dict(re.findall(r"(gpu|gres)=([\w:]*)", lines))
            asked.setdefault(f"{rule} {kind}{joined}", set()).add(requested_gpus({"gpu": 0} | wanted) > 0)
    assert asked == {
        "extract_features simclr of parts": {False},
        "extract_features low of parts": {False},
        "extract_features both": {False},
        "extract_feature_shard simclr": {True},
        "extract_feature_shard low": {False},
        "extract_sample_features simclr": {True},
        "extract_sample_features low": {False},
        "extract_sample_features both": {False},
        "extract_snapshot_features simclr": {True},
        "select_images random": {False},
        "select_images classifier-1": {True},
    }


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


@pytest.mark.parametrize("file", sorted((ROOT / "rules").glob("*.smk")), ids=lambda file: file.stem)
def test_no_output_of_a_rule_is_expanded(file: Path) -> None:
    """In object storage an output is an object of its own, which Snakemake cannot expand (its issue 3027)."""
    assert not re.search(r"\b(collect|expand)\(\s*\*?rules\.", file.read_text())
