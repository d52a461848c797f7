"""Copycat: when do generative models copy their training images, and when does copying help?

`snakemake` runs the study of config.yaml; `snakemake --configfile config/other.yaml` another one.
"""

import os
import sys

from snakemake.utils import min_version

min_version("9.27")


# A study file stands for itself: config.yaml is read only if no --configfile is given, so that no part of the default
# study is mixed into another one. What a study leaves out has a default (docs/config.md).
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.current_basedir}/config.yaml"


include: "rules/common.smk"


container: IMAGE  # of every rule that does not opt out, where jobs run inside it


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


report: "report/workflow.rst"


rule replication:
    input:
        branch(bool(RUNS), then=[*rules.collect_replication.output, *rules.fit_decay.output]),
        collect("results/figures/{kind}/{dataset}.svg", kind=["dimension", "one_shot"], dataset=REPLICATION["datasets"]),
        collect("results/figures/quality/{pair[space]}.svg", pair=PAIRS),
        collect("results/figures/gallery/{pair[space]}/{pair[generator]}/{pair[dataset]}.svg", pair=PAIRS),
        collect("results/figures/training_curves/{pair[generator]}/{pair[dataset]}.svg", pair=PAIRS),


rule one_shot:
    input:
        collect("results/one_shot/{dataset}.{kind}", dataset=REPLICATION["datasets"], kind=["json", "md"]),
        collect("results/figures/dimension/{dataset}.svg", dataset=REPLICATION["datasets"]),


rule similarity:
    input:
        collect("results/figures/similarity/{dataset}.svg", dataset=SIMILARITY["datasets"]),


rule gm_aug_cls:
    input:
        branch(bool(REBALANCED), then=[*rules.collect_rebalancing.output]),
        collect("results/figures/rebalancing/{run[dataset]}/{run[group]}/gains.svg", run=REBALANCED),
        collect(
            "results/rebalancing/{run[dataset]}/{run[group]}/seed-{run[seed]}/synthetic/{generator}/quality.csv",
            run=REBALANCED,
            generator=REBALANCING["generators"],
        ),


rule gain_law:
    input:
        branch(bool(REBALANCED), then=[*rules.fit_gain_law.output]),


rule advice:
    input:
        collect("results/advice/{dataset}.{kind}", dataset=SIMILARITY["datasets"], kind=["json", "md"]),


rule teachers:
    input:
        collect(
            "results/distillation/{dataset}/seed-{seed}/teachers/{teacher}/logits.npy",
            dataset=DISTILLATION["datasets"],
            seed=DISTILLATION["seeds"],
            teacher=TEACHERS,
        ),


rule distillation:
    input:
        branch(bool(DISTILLED), then=[*rules.collect_distillation.output]),


rule trends:
    input:
        branch(bool(DISTILLED), then=[*rules.find_trends.output]),


rule diagnosis:
    input:
        collect("results/diagnosis/{dataset}.{kind}", dataset=DISTILLATION["datasets"], kind=["json", "md"]),


rule published:
    input:
        rules.fit_published.output,


include: "rules/report.smk"
include: "rules/containers.smk"  # after the last rule that runs inside the image


rule report:
    input:
        rules.write_report.output,
        rules.write_workflow_report.output,


rule all:
    default_target: True
    input:
        rules.write_report.output,
        rules.write_workflow_report.output,
        rules.summarise.output,


# Where Snakemake limits how many jobs start in a second (by default 100), each look for jobs that can start sets a timer
# for another look, and so does each job that ends: of a hundred jobs there are a hundred looks a second, which took a
# fifth of a core. Without a limit there are no timers. Any other limit is the user's.
onstart:
    starts = getattr(workflow.scheduler, "job_rate_limiter", None)
    if starts and (starts.max_jobs, starts.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


# What a run says last. As a module, Copycat leaves this to the workflow around it.
onsuccess:
    ENDING.answer()


onerror:
    ENDING.explain()
