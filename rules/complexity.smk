"""Measure how complex a data set is: the intrinsic dimension of each subset."""

STAGES["complexity"] = __doc__


rule estimate_dimension:
    input:
        images=rules.pack_images.output.images,
        order=rules.draw_subsets.output.order,
    output:
        "results/complexity/<subset>.json",
    resources:
        **on_gpu(minutes=120),
    params:
        settings=lookup(dpath="complexity", within=config),
    script:
        "../workflow_scripts/complexity/estimate_dimension.py"


rule estimate_curve:
    input:
        images=rules.pack_images.output.images,
        order=f"results/subsets/{{dataset}}/seed-{FIRST_SEED}/order.npy",
    output:
        "results/complexity/{dataset}/curve.json",
    threads: 2
    resources:
        **on_gpu(minutes=120),
    params:
        settings=lookup(dpath="complexity", within=config),
        sizes=SIZES,
    script:
        "../workflow_scripts/complexity/estimate_curve.py"


rule plot_curve:
    input:
        rules.estimate_curve.output,
    output:
        **figure("dimension/{dataset}", "Replication", "intrinsic dimension"),
    params:
        neighbours=lookup(dpath="complexity/neighbours", within=config),
    script:
        "../workflow_scripts/complexity/plot_curve.py"
