"""Shared by all rules: the validated config, the image of the computing rules, the study's combinations. No rules."""

from pathlib import Path

ROOT = Path(workflow.current_basedir).parent

# Scripts import `workflow_scripts`; the second name is the one that passes into a container.
sys.path.insert(0, str(ROOT))
os.environ.update(PYTHONPATH=str(ROOT), APPTAINERENV_PYTHONPATH=str(ROOT))

from workflow_scripts.engine.ending import Ending
from workflow_scripts.config.validation import (
    configured_paths,
    read_command_line,
    require_each_key_once,
    validate,
)
from workflow_scripts.containers.image import SOURCES as IMAGE_SOURCES
from workflow_scripts.containers.image import image_name
from workflow_scripts.engine.jobs import prepare_jobs_inside
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.provenance import REVISION, code_revision
from workflow_scripts.replication.thresholds import thresholds_in

try:
    for file in workflow.configfiles:
        require_each_key_once(file)
    config = read_command_line(config, workflow.config_settings.config)
    config = validate(config, ", ".join(map(str, workflow.configfiles)) or "the config")
except InputError as error:
    raise WorkflowError(str(error)) from None

# Jobs record which code they ran, inside a container, too.
os.environ.setdefault(REVISION, code_revision(ROOT))
os.environ[f"APPTAINERENV_{REVISION}"] = os.environ[REVISION]

# The image of the computing rules: they run inside it if Snakemake is called with `--sdm apptainer`.
IMAGE = os.path.relpath(ROOT / "containers" / image_name(ROOT))
INSIDE = any(str(method) == "apptainer" for method in workflow.deployment_settings.deployment_method)
if INSIDE:
    workflow.deployment_settings.apptainer_args = prepare_jobs_inside(
        workflow.deployment_settings.apptainer_args, [ROOT, *configured_paths(config)], Path.cwd()
    )

# The sections of the study. One that the config leaves out has no data sets.
REPLICATION, SIMILARITY, REBALANCING, DISTILLATION = (
    config[section] for section in ("replication", "similarity", "rebalancing", "distillation")
)

# One entry for each generator trained on one subset, and for each space that it is searched in.
RUNS = [
    {"space": space, "generator": generator, "dataset": dataset, "size": size, "seed": seed}
    for space in REPLICATION["spaces"]
    for generator in REPLICATION["generators"]
    for dataset, chosen in REPLICATION["datasets"].items()
    for size in chosen["sizes"]
    for seed in REPLICATION["seeds"]
]
PAIRS = [{key: run[key] for key in ("space", "generator", "dataset")} for run in RUNS]
FIRST_SEED = REPLICATION["seeds"][0]
FIRST_RUNS = [run for run in RUNS if run["seed"] == FIRST_SEED]
NEIGHBOURS = REPLICATION["neighbours"]
SHARDS = REPLICATION["shards"]
EACH_SPACE = REPLICATION["spaces"]
EACH_SHARD = range(SHARDS) if SHARDS > 1 else []  # jobs of their own; a single one would only cost its start


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9-]*",
    generator="[a-z0-9][a-z0-9-]*",
    space="[a-z0-9+-]+",
    size=r"\d+",
    seed=r"\d+",
    shard=r"\d+",
