"""Copycat: when do generative models copy their training images, and when does copying help?

`snakemake` runs the study of config.yaml; `snakemake --configfile config/other.yaml` another one.
"""

import json
import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

ROOT = Path(workflow.current_basedir)
sys.path.insert(0, str(ROOT))

from workflow_scripts.containers.image import require_image
from workflow_scripts.core.errors import InputError
from workflow_scripts.engine import workflow as engine
from workflow_scripts.engine.ending import Refusals
from workflow_scripts.engine.forks import fork_jobs
from workflow_scripts.engine.pace import Pace
from workflow_scripts.engine.code import mark_rules

REFUSALS = Refusals()
if engine.is_silent(workflow):
    logger.addHandler(REFUSALS)

# A study file stands for itself: config.yaml is read only if no --configfile is given, so that no part of the default
# study is mixed into another one. What a study leaves out has a default (docs/config.md).
if not engine.names_configs(workflow):

    configfile: ROOT / "config.yaml"


include: "rules/common.smk"


container: IMAGE  # of every rule that does not opt out, where jobs run inside it


report: "report/workflow.rst"


include: "rules/inputs.smk"
include: "rules/data.smk"
include: "rules/complexity.smk"
include: "rules/generators.smk"
include: "rules/features.smk"
include: "rules/replication.smk"
include: "rules/laws.smk"
include: "rules/similarity.smk"
include: "rules/rebalancing.smk"
include: "rules/distillation.smk"
include: "rules/audit.smk"
include: "rules/report.smk"


mark_rules(workflow.rules, ROOT)
engine.name_records(workflow.rules)  # results/logs/RULE/..., results/benchmarks/RULE/...


# Here, since of the files above none can set the default target.
rule all:
    default_target: True
    input:
        rules.write_report.output,
        rules.write_workflow_report.output,
        rules.summarise.output,
        rules.audit.input,


PACE = []  # what the run says while it goes on; the hooks below share it


# As a module, Copycat leaves these to the workflow around it.
onstart:
    logger.removeHandler(REFUSALS)  # from here on the ending says what failed
    engine.lift_default_start_limit(workflow)
    usual = (
        {} if engine.names_configs(workflow) else json.loads((ROOT / "resources/default_study.json").read_text())
    )
    PACE.append(Pace(engine.waiting_jobs(workflow), engine.cores(workflow), usual))
    logger.addHandler(PACE[0])
    PACE[0].start()
    fork_jobs(workflow, INSIDE)
    if INSIDE:
        try:
            require_image(ROOT)
        except InputError as error:
            raise WorkflowError(str(error)) from None


onsuccess:
    PACE[0].stop()
    ENDING.answer()


onerror:
    PACE[0].stop()
    ENDING.explain()
