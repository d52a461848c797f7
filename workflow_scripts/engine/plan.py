"""The rules of the workflow, and the jobs of a study as Snakemake plans them: read without running or locking anything.

Snakemake has no interface for that: what is used of its API's inside, as `snakemake --summary` and `--lint` do, is here
alone. Tried with Snakemake 9.27.1; tests/engine/test_plan.py fails where a later version changes it.
"""

from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness, RerunTrigger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, StorageSettings

from workflow_scripts.core.errors import InputError
from workflow_scripts.engine.workflow import stage_of

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Rule:
    """A rule. stage: the file that it is in; resources: the names of those that it asks for."""

    name: str
    stage: str
    resources: frozenset[str]
    script: Path | None


@dataclass(frozen=True)
class Job:
    """A planned job.

    needed: whether it is still to be done. started: whether Snakemake has marked it as begun and not as ended.
    stale: what has changed since its results were made; empty if there are none, or if only what it reads is renewed.
    needs: places, in the plan, of the jobs whose files it reads. output, params, resources and input have names,
    too, as its script sees them. Paths are relative to the folder of the study.
    """

    rule: str
    wildcards: dict[str, str]
    output: Sequence[str]
    log: str | None
    benchmark: str | None
    threads: int
    mem_mb: int
    needed: bool
    started: bool
    needs: tuple[int, ...]
    stale: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    input: Any = None


def rules() -> list[Rule]:
    """The rules of the workflow with the default study, in the order of its files."""
    with chdir(ROOT), SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=ROOT / "Snakefile")
        return [
            Rule(
                name=rule.name,
                stage=stage_of(rule),
                resources=frozenset(rule.resources),
                script=(ROOT / "rules" / rule.script).resolve() if rule.script else None,
            )
            for rule in workflow_api._workflow.rules
        ]


def plan(config: Path | None, targets: Sequence[str], folder: Path, cores: int) -> list[Job]:
    """The jobs of `targets` (none: the default one) for a study's config, in `folder`; targets are no jobs themselves.

    Raises InputError, with Snakemake's own words, if there is no plan.
    """
    configs = [config.resolve()] if config else []
    with chdir(folder), SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(
            resource_settings=ResourceSettings(cores=cores),
            config_settings=ConfigSettings(configfiles=configs),
            storage_settings=StorageSettings(),
            snakefile=ROOT / "Snakefile",
        )
        try:
            triggers = frozenset(RerunTrigger.all()) - {RerunTrigger.CODE}  # as in the profiles
            dag_api = workflow_api.dag(DAGSettings(targets=frozenset(targets), rerun_triggers=triggers))
            workflow = dag_api.workflow_api._workflow
            # As `snakemake --summary` does, which gives less.
            workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True, nolock=True)
            workflow._build_dag()
        except Exception as cause:
            from snakemake.exceptions import format_exception_to_string

            raise InputError(format_exception_to_string(cause, workflow_api._workflow.linemaps).strip()) from cause
        dag = workflow.dag
        jobs = [job for job in dag.jobs if job.output]
        place = {job: i for i, job in enumerate(jobs)}
        begun = workflow.persistence
        return [
            Job(
                rule=job.rule.name,
                wildcards={key: str(value) for key, value in job.wildcards_dict.items()},
                output=job.output,
                log=str(job.log[0]) if job.log else None,
                benchmark=str(job.benchmark) if job.benchmark else None,
                threads=job.threads,
                mem_mb=int(job.resources.get("mem_mb", 0) or 0),
                needed=bool(dag.needrun(job)),
                started=bool(begun._filter_incomplete_keys([begun._get_key(file) for file in job.output])),
                needs=tuple(sorted(place[other] for other in dag.dependencies[job] if other in place)),
                stale=_changes(dag, job),
                params=dict(job.params.items()),
                resources=dict(job.resources.items()),
                input=job.input,
            )
            for job in jobs
        ]


def _changes(dag: Any, job: Any) -> str:
    """What Snakemake found changed since a job's results were made, in words of Copycat's."""
    if not dag.needrun(job):
        return ""
    reason, serialised = dag.reason(job), dag.workflow.persistence._serialize_param
    changed = [name for name, value in job.params.items() if serialised(value) in reason.params_changed.only_new]
    settings = [name for name in changed if name not in ("code", "listing")]
    parts = {
        "code": "code" in changed,
        "files in its folder": "listing" in changed,
        f"settings ({', '.join(settings)})": settings,
        f"files that it reads ({', '.join(map(str, sorted(reason.updated_input)))})": reason.updated_input,
        "which files it reads": reason.input_changed,
        "image": reason.software_stack_changed,
    }
    told = [part for part, holds in parts.items() if holds]
    # A setting that is gone has no name any more.
    return ", ".join(told) or ("settings" if reason.params_changed else "")
