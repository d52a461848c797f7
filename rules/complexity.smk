"""Measure how complex a data set is: the intrinsic dimension of each subset."""


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
    container:
        IMAGE
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
    params:
        settings=lookup(dpath="complexity", within=config),
    script:
        "../workflow_scripts/complexity/estimate_dimension.py"
