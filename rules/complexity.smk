"""Measure how complex a data set is: the intrinsic dimension of each subset."""

STAGES["complexity"] = __doc__


rule estimate_dimension:
    input:
        images=rules.pack_images.output.images,
        order=rules.draw_subsets.output.order,
    output:
        "results/complexity/{dataset}/size-{size}/seed-{seed}.json",
    log:
        "results/logs/estimate_dimension/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/estimate_dimension/{dataset}/size-{size}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
    params:
        settings=lookup(dpath="complexity", within=config),
    script:
        "../workflow_scripts/complexity/estimate_dimension.py"


rule estimate_curve:
    input:
        images=rules.pack_images.output.images,
        order="results/subsets/{dataset}/seed-" f"{FIRST_SEED}/order.npy",
    output:
        "results/complexity/{dataset}/curve.json",
    log:
        "results/logs/estimate_curve/{dataset}.log",
    benchmark:
        "results/benchmarks/estimate_curve/{dataset}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
    params:
        settings=lookup(dpath="complexity", within=config),
        sizes=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
    script:
        "../workflow_scripts/complexity/estimate_curve.py"


rule plot_curve:
    input:
        rules.estimate_curve.output,
    output:
        svg=report(
            "results/figures/dimension/{dataset}.svg",
            caption="../report/dimension.rst",
            category="Replication",
            labels={"figure": "intrinsic dimension", "data set": "{dataset}"},
        ),
        png="results/figures/dimension/{dataset}.png",
        csv="results/figures/dimension/{dataset}.csv",
    log:
        "results/logs/plot_curve/{dataset}.log",
    benchmark:
        "results/benchmarks/plot_curve/{dataset}.tsv"
    params:
        neighbours=lookup(dpath="complexity/neighbours", within=config),
    script:
        "../workflow_scripts/complexity/plot_curve.py"
