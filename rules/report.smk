"""The effective config, the headline numbers, and the report that holds the figures of everything above."""

STAGES["report"] = __doc__


from workflow_scripts.engine.ending import Ending

REPORTS = ["results/summary.md", "results/report.html"]

# What a run says last.
ENDING = Ending(
    answers={
        "one_shot": [f"results/one_shot/{dataset}.md" for dataset in REPLICATION["datasets"]],
        "advice": [f"results/advice/{dataset}.md" for dataset in SIMILARITY["datasets"]],
        "audit": [f"results/audit/{dataset}/audit.md" for dataset in AUDIT["datasets"]],
        "diagnosis": [f"results/diagnosis/{dataset}.md" for dataset in DISTILLATION["datasets"]],
    },
    places={
        "report": REPORTS,
        "all": [*REPORTS, *(f"results/audit/{dataset}/report.html" for dataset in AUDIT["datasets"])],
    },
    asked=lambda: engine.asked_targets(workflow),
)
if not engine.is_module(workflow):
    logger.addHandler(ENDING)

# The targets whose figures the workflow's report shows.
TARGETS = ["replication", "similarity", "gm_aug_cls", "gain_law", "advice", "trends", "diagnosis", "published"]


rule save_config:
    output:
        "results/config.yaml",
    localrule: True
    params:
        config=config,
    script:
        "../workflow_scripts/report/save_config.py"


rule summarise:
    input:
        verdicts=branch(bool(RUNS), then=rules.collect_replication.output.answer),
        over_seeds=branch(bool(RUNS), then=rules.collect_replication.output.over_seeds),
        membership=branch(bool(RUNS), then=rules.collect_replication.output.membership),
        advice=collect("results/advice/{dataset}.md", dataset=SIMILARITY["datasets"]),
        trends=branch(bool(DISTILLED), then=rules.find_trends.output.answer),
        choice=collect("results/choice/{dataset}.md", dataset=DISTILLATION["datasets"]),
        one_shot=collect("results/one_shot/{dataset}.md", dataset=REPLICATION["datasets"]),
        published=rules.fit_published.output.fits,
        leave_one_out=rules.fit_published.output.leave_one_out,
    output:
        "results/summary.md",
    script:
        "../workflow_scripts/report/summarise.py"


rule write_workflow_report:
    input:
        [getattr(rules, target).input for target in TARGETS],
        rules.summarise.output,
        config="results/config.yaml",
    output:
        "results/workflow_report.html",
    localrule: True
    handover: True
    # Its job is another run of Snakemake, outside any container.
    container:
        None
    params:
        targets=TARGETS,
    script:
        "../workflow_scripts/report/write_workflow_report.py"


rule write_report:
    input:
        rules.write_workflow_report.input,
        rules.one_shot.input,
        rules.distillation.input,
        collect("results/similarity/{dataset}.json", dataset=SIMILARITY["datasets"]),
        collect("results/near_duplicates/{dataset}.csv", dataset=REPLICATION["datasets"]),
        # Of the first seed: the slider of nearest pairs.
        each(f"results/samples/{RUN}/images.npy", FIRST_RUNS),
        each(f"results/neighbours/{{space}}/{RUN}.parquet", FIRST_RUNS),
        each(f"results/replication/{{space}}/{RUN}.json", FIRST_RUNS),
        each(f"results/controls/{{space}}/{SUBSET}.parquet", FIRST_RUNS),
        each("results/data/{dataset}/images.npy", FIRST_RUNS),
        config="results/config.yaml",
    output:
        "results/report.html",
    localrule: True
    resources:
        mem_mb=2000,
    params:
        stages=lambda wildcards: engine.stages(workflow, STAGES),
    # It also reads what the jobs above have left beside their outputs: benchmarks and records.
    script:
        "../workflow_scripts/report/write_report.py"


rule report:
    input:
        rules.write_report.output,
        rules.write_workflow_report.output,
