"""Shared by all rules: the validated config, the image of the computing rules, the study's combinations. No rules."""

from workflow_scripts.config.datasets import SOURCES as DATASETS
from workflow_scripts.core.files import sha256
from workflow_scripts.data.listing import files_below, require_enough_images
from workflow_scripts.config.samples import packed_like
from workflow_scripts.config.validation import configured_paths, read_command_line, require_each_key_once, validate
from workflow_scripts.containers.image import image_path
from workflow_scripts.core.provenance import REVISION, code_revision
from workflow_scripts.engine.jobs import prepare_jobs_inside, set_variables
from workflow_scripts.replication.thresholds import thresholds_in

try:
    for file in engine.config_files(workflow):
        require_each_key_once(file)
    config = read_command_line(config, engine.command_line_config(workflow))
    config = validate(config, ", ".join(engine.config_files(workflow)) or "the config")
    require_enough_images(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

# Jobs record which code they ran.
os.environ.setdefault(REVISION, code_revision(ROOT))
set_variables(ROOT)

# The image of the computing rules: they run inside it if Snakemake is called with `--sdm apptainer`.
IMAGE = os.path.relpath(image_path(ROOT))
INSIDE = engine.runs_inside(workflow)
if INSIDE:
    arguments = engine.apptainer_arguments(workflow)
    paths = [ROOT, *configured_paths(config)]
    engine.set_apptainer_arguments(workflow, prepare_jobs_inside(arguments, paths, Path.cwd()))
    if engine.is_module(workflow) and not image_path(ROOT).exists():
        raise WorkflowError(f"The container image is not there. Build it once:  make -C {ROOT} image")

# The sections of the study. One that the config leaves out has no data sets.
REPLICATION, SIMILARITY, REBALANCING, DISTILLATION, AUDIT = (
    config[section] for section in ("replication", "similarity", "rebalancing", "distillation", "audit")
)

STAGES = {}  # what each file of rules does, in the order in which data flows

# One entry for each generator trained on one subset, and for each space that it is searched in.
RUNS = [
    {"space": space, "generator": generator, "dataset": dataset, "size": size, "seed": seed}
    for space in REPLICATION["spaces"]
    for generator in REPLICATION["generators"]
    for dataset, chosen in REPLICATION["datasets"].items()
    for size in chosen["sizes"]
    for seed in REPLICATION["seeds"]
]
FIRST_SEED = REPLICATION["seeds"][0]
LEADING_RUNS = [run for run in RUNS if run["space"] == REPLICATION["spaces"][0]]
FIRST_RUNS = [run for run in RUNS if run["seed"] == FIRST_SEED]
NEIGHBOURS = REPLICATION["neighbours"]
SHARDS = REPLICATION["shards"]
EACH_SPACE = REPLICATION["spaces"]
SIZES = lookup(dpath="replication/datasets/{dataset}/sizes", within=config)  # of a job's data set
LARGEST_SIZE = lookup(dpath="replication/datasets/{dataset}/sizes/-1", within=config)
EACH_SHARD = range(SHARDS) if SHARDS > 1 else []  # jobs of their own; a single one would only cost its start
