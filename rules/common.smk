"""Shared by all rules: the validated config, the image of the computing rules, the study's combinations. No rules."""

from pathlib import Path

ROOT = Path(workflow.current_basedir).parent

# Scripts import `workflow_scripts`; the second name is the one that passes into a container.
sys.path.insert(0, str(ROOT))
os.environ.update(PYTHONPATH=str(ROOT), APPTAINERENV_PYTHONPATH=str(ROOT))

from workflow_scripts.config import validate
from workflow_scripts.files import InputError

try:
    config = validate(config, ", ".join(map(str, workflow.configfiles)) or "the config").model_dump(mode="json")
except InputError as error:
    raise WorkflowError(str(error)) from None

IMAGE = "containers/copycat.sif"

# One entry for each generator trained on one subset, and for each space that it is searched in.
STUDY = config["replication"]
RUNS = [
    {"space": space, "generator": generator, "dataset": dataset, "size": size, "seed": seed}
    for space in STUDY["spaces"]
    for generator in STUDY["generators"]
    for dataset, chosen in STUDY["datasets"].items()
    for size in chosen["sizes"]
    for seed in STUDY["seeds"]
]
PAIRS = [{key: run[key] for key in ("space", "generator", "dataset")} for run in RUNS]
FIRST_SEED = STUDY["seeds"][0]
NEIGHBOURS = 2  # the nearest one, and the next for the ratio test


def local_files(wildcards):
    """The files that a data set is read from, so that a change of theirs packs it anew."""
    dataset = config["datasets"][wildcards.dataset]
    if dataset["source"] == "shipped":
        return [ROOT / "resources" / dataset["name"] / "about.json"]
    if dataset["source"] == "npz":
        return [dataset["path"]]
    return [dataset[key] for key in ("images", "labels") if dataset.get(key)]


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9-]*",
    generator="[a-z0-9][a-z0-9-]*",
    space="[a-z0-9+-]+",
    size=r"\d+",
    seed=r"\d+",
