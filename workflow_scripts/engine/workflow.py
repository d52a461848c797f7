"""What the Snakefile uses of Snakemake's object `workflow` beyond its documented interface, each with its reason.

Tried with Snakemake 9.27.1 (envs/lock.txt); tests/engine/test_workflow.py fails where a later version changes it. Such
uses are in this folder alone: plan.py reads a plan without running it, forks.py starts jobs, code.py marks rules.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from snakemake.io import strip_wildcard_constraints

# What Snakemake assumes where the user sets no limit: job starts, and the seconds that they are counted in.
DEFAULT_STARTS = (100, 1)


def names_configs(workflow: Any) -> bool:
    """Whether the command names config files. `configfile:` would be mixed into them, so a Snakefile must know."""
    return bool(workflow.config_settings.configfiles)


def config_files(workflow: Any) -> list[str]:
    """The config files in their order: Snakemake gives only what they amount to, and errors should name the file."""
    return [str(file) for file in workflow.configfiles]


def command_line_config(workflow: Any) -> Mapping[str, Any]:
    """What `--config` says, as Snakemake read it: not yet the types that a config file would give."""
    return workflow.config_settings.config


def is_module(workflow: Any) -> bool:
    """Whether another workflow uses this one. Then its hooks do not run, and the ending is for the other to say."""
    return not workflow.modifier.is_main_snakefile()


def is_silent(workflow: Any) -> bool:
    """Whether Snakemake says nothing at all (`--quiet all`), not even why jobs cannot be planned."""
    return "all" in map(str, workflow.output_settings.quiet or ()) and not workflow.dryrun


def runs_inside(workflow: Any) -> bool:
    """Whether jobs run inside their rules' images: only then their arguments are needed, and an image must be there."""
    return "apptainer" in map(str, workflow.deployment_settings.deployment_method)


def apptainer_arguments(workflow: Any) -> str:
    """Apptainer's arguments for every job, the user's own at first."""
    return workflow.deployment_settings.apptainer_args


def set_apptainer_arguments(workflow: Any, arguments: str) -> None:
    """Set them: which folders a job must see depends on the config, and a Snakefile has no directive for it."""
    workflow.deployment_settings.apptainer_args = arguments


def asked_targets(workflow: Any) -> Iterable[str]:
    """The targets of this run, `all` if none is named, none if it only plans: the ending answers what was asked."""
    return [] if workflow.dryrun else workflow.dag_settings.targets or ["all"]


def name_records(rules: Any) -> None:
    """Name the log and the benchmark of each rule that runs a script: results/logs/RULE/PARTS.log, and alike.

    PARTS are those of its first output's path that hold wildcards. Snakemake has no defaults for these directives. A
    rule with several logs names them itself; one that hands over to another Snakemake is not measured.
    """
    for rule in rules:
        if not rule.script:
            continue
        first = Path(strip_wildcard_constraints(rule.output[0])).with_suffix("")
        name = "/".join([rule.name, *(part for part in first.parts if "{" in part)])
        if not rule.log:
            rule.log_modifier = rule.output_modifier
            rule.set_log(f"results/logs/{name}.log")
        if not rule.is_handover:
            rule.benchmark_modifier = rule.output_modifier
            rule.benchmark = f"results/benchmarks/{name}.tsv"


def stage_of(rule: Any) -> str:
    """The name of the file that a rule is in: of a path, or of an object where `use rule` takes it from another one."""
    file = rule.snakefile if isinstance(rule.snakefile, str) else rule.snakefile.get_path_or_uri(secret_free=True)
    return Path(file).stem


def stages(workflow: Any, purposes: Mapping[str, str]) -> list[dict[str, Any]]:
    """The files of rules by `name`, the `purpose` that each has in `purposes`, and the names of its `rules` in order.

    The report sums up costs by stage, and only Snakemake's own objects know which file a rule is from.
    """
    rules: dict[str, list[str]] = {name: [] for name in purposes}
    for rule in workflow.rules:
        rules.get(stage_of(rule), []).append(rule.name)
    return [{"name": name, "purpose": purposes[name].splitlines()[0], "rules": rules[name]} for name in purposes]


def waiting_jobs(workflow: Any) -> Counter[str]:
    """The jobs of this run by rule, when it starts: for the time that is left."""
    return Counter(job.rule.name for job in workflow.dag.needrun_jobs() if job.output)


def cores(workflow: Any) -> int:
    """The cores that jobs share on this machine; of a cluster the jobs that run at once."""
    return int(workflow.resource_settings.cores or workflow.resource_settings.nodes or 1)


def lift_default_start_limit(workflow: Any) -> None:
    """Take off the limit on job starts if it is the default one; to be called when a run starts.

    With a limit, each look for jobs that can start sets a timer for another look, and so does each job that ends: of a
    hundred jobs there are a hundred looks a second, which took a fifth of a core. No option sets "no limit".
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter and (limiter.max_jobs, limiter.timespan) == DEFAULT_STARTS:
        workflow.scheduler.job_rate_limiter = None
