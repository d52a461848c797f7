"""Bring a data set into one form, and draw the nested subsets on which generators are trained."""

STAGES["data"] = __doc__


rule pack_images:
    input:
        unpack(source_files),
    output:
        images="results/data/{dataset}/images.npy",
        labels="results/data/{dataset}/labels.parquet",
        manifest="results/data/{dataset}/manifest.json",
    log:
        "results/logs/pack_images/{dataset}.log",
        problems="results/logs/pack_images/{dataset}.problems.txt",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        dataset=lookup(dpath="datasets/{dataset}", within=config),
        listing=listing_of,
    script:
        "../workflow_scripts/data/pack_images.py"


IMAGE_SET = dict(rules.pack_images.output.items())


rule draw_subsets:
    input:
        labels=rules.pack_images.output.labels,
    output:
        order="results/subsets/{dataset}/seed-{seed}/order.npy",
        held_out="results/subsets/{dataset}/seed-{seed}/held_out.npy",
    params:
        held_out=lookup(dpath="datasets/{dataset}/held_out", within=config),
        kind=lookup(dpath="datasets/{dataset}/subsets", within=config),
    script:
        "../workflow_scripts/data/draw_subsets.py"
