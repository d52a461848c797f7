"""Measure how alike the classes of a data set are: SSIM-supSubCls, and the map of all pairs of classes."""

STAGES["similarity"] = __doc__
# How it is measured, not of which data sets: one more does not repeat the others.
SIMILARITY_SETTINGS = {key: value for key, value in SIMILARITY.items() if key != "datasets"}


rule measure_similarity:
    input:
        **IMAGE_SET,
    output:
        "results/similarity/{dataset}.json",
    threads: 2
    resources:
        **on_gpu(minutes=60),
    params:
        settings=SIMILARITY_SETTINGS,
    script:
        "../workflow_scripts/similarity/measure_similarity.py"


rule plot_similarity:
    input:
        rules.measure_similarity.output[0],
        manifest=rules.pack_images.output.manifest,
    output:
        **figure("similarity/{dataset}", "Similarity", "class similarity"),
    script:
        "../workflow_scripts/similarity/plot_similarity.py"


rule similarity:
    input:
        collect("results/figures/similarity/{dataset}.svg", dataset=SIMILARITY["datasets"]),
