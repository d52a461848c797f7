"""Snakemake still is what engine/workflow.py takes it for: what is tested here is no documented interface."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, snakemake_command

PROBE = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from workflow_scripts.engine import workflow as engine

engine.set_apptainer_arguments(workflow, engine.apptainer_arguments(workflow) + " --more")

rule all:
    default_target: True
    input: "a"
    output: "b"
    shell: "cp {{input}} {{output}}"

Path("seen.json").write_text(json.dumps({{
    "names": engine.names_configs(workflow), "files": engine.config_files(workflow),
    "module": engine.is_module(workflow), "inside": engine.runs_inside(workflow),
    "arguments": engine.apptainer_arguments(workflow),
}}))

onstart:
    Path("asked.json").write_text(json.dumps(list(engine.asked_targets(workflow))))
"""


def probe(folder: Path, *arguments: str, snakefile: str = "Snakefile") -> dict[str, Any]:
    """What the functions say in a run of a small workflow with `arguments`."""
    (folder / "Snakefile").write_text(PROBE)
    (folder / "a").touch()
    command = [*snakemake_command(folder)[:3], "--cores=1", "--profile=none", f"--snakefile={snakefile}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "seen.json").read_text())


def test_what_the_command_says_is_known(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("a: 1\n")
    seen = probe(tmp_path, "--configfile=study.yaml", "--sdm=apptainer", "--apptainer-args=--nv", "--dry-run")
    expected = {"names": True, "files": [str(tmp_path / "study.yaml")], "module": False, "inside": True}
    assert seen == expected | {"arguments": "--nv --more"}
    assert not (tmp_path / "asked.json").exists()


NAMED = r"""
import sys
sys.path.insert(0, "ROOT")
from workflow_scripts.engine.workflow import name_records

rule all:
    input: "made/x/y-1/z.txt", "plain.txt"

rule make:
    output: "made/{a,[a-z.]+}/y-{b,\d+}/z.txt", "made/{a}/y-{b}/more.txt"
    script: "write.py"

rule plain:
    output: "plain.txt"
    log: "first.log", second="second.log"
    script: "write.py"

name_records(workflow.rules)
"""


def test_logs_and_benchmarks_are_named_after_the_rule_and_what_tells_its_jobs_apart(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(NAMED.replace("ROOT", str(ROOT)))
    (tmp_path / "write.py").write_text(
        "for path in [*snakemake.output, *snakemake.log]:\n    open(path, 'w').close()\n"
    )
    command = [*snakemake_command(tmp_path)[:3], "--cores=1", "--profile=none"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = ["results/logs/make/x/y-1.log", "results/benchmarks/make/x/y-1.tsv", "results/benchmarks/plain.tsv"]
    assert all((tmp_path / path).exists() for path in [*made, "first.log", "second.log"])
    assert not (tmp_path / "results/logs/plain.log").exists()


def test_the_targets_of_a_run_are_known(tmp_path: Path) -> None:
    seen = probe(tmp_path)
    assert (seen["names"], seen["files"], seen["inside"]) == (False, [], False)
    assert json.loads((tmp_path / "asked.json").read_text()) == ["all"]
    (tmp_path / "b").unlink()
    probe(tmp_path, "--", "b")
    assert json.loads((tmp_path / "asked.json").read_text()) == ["b"]


def test_a_module_knows_that_it_is_one_and_its_hooks_do_not_run(tmp_path: Path) -> None:
    (tmp_path / "outer.smk").write_text('module inner:\n    snakefile: "Snakefile"\n\nuse rule * from inner\n')
    assert probe(tmp_path, snakefile="outer.smk")["module"] is True
    assert (tmp_path / "b").exists()
    assert not (tmp_path / "asked.json").exists()


def test_no_timer_makes_snakemake_look_for_jobs_again(tmp_path: Path) -> None:
    """Those of its default limit on job starts pile up, a hundred a second in a study of a hundred jobs."""
    python, *command = snakemake_command(tmp_path, "--forceall", "--", "results/config.yaml")
    without_timers = [python, "-c", "import threading; from snakemake.cli import main; threading.Timer = None; main()"]
    lifted = subprocess.run([*without_timers, *command[2:]], capture_output=True, text=True, cwd=ROOT)
    assert lifted.returncode == 0, lifted.stdout[-4000:] + lifted.stderr[-4000:]
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'a'\n    shell: 'touch {output}'\n")
    words = [*without_timers, "--cores=1", "--profile=none"]
    limited = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert "'NoneType' object is not callable" in limited.stdout + limited.stderr
