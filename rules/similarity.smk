"""Measure how alike the classes of a data set are: SSIM-supSubCls, and the map of all pairs of classes."""

STAGES["similarity"] = __doc__


rule measure_similarity:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
    output:
        "results/similarity/{dataset}.json",
    log:
        "results/logs/measure_similarity/{dataset}.log",
    benchmark:
        "results/benchmarks/measure_similarity/{dataset}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
    params:
        settings=lookup(dpath="similarity", within=config),
    script:
        "../workflow_scripts/similarity/measure_similarity.py"


rule plot_similarity:
    input:
        rules.measure_similarity.output[0],
        manifest=rules.pack_images.output.manifest,
    output:
        svg=report(
            "results/figures/similarity/{dataset}.svg",
            caption="../report/similarity.rst",
            category="Similarity",
            labels={"figure": "class similarity", "data set": "{dataset}"},
        ),
        png="results/figures/similarity/{dataset}.png",
        csv="results/figures/similarity/{dataset}.csv",
    log:
        "results/logs/plot_similarity/{dataset}.log",
    benchmark:
        "results/benchmarks/plot_similarity/{dataset}.tsv"
    script:
        "../workflow_scripts/similarity/plot_similarity.py"


rule similarity:
    input:
        collect("results/figures/similarity/{dataset}.svg", dataset=SIMILARITY["datasets"]),
