"""Train a generator on each subset, draw its samples, and show how training went."""

STAGES["generators"] = __doc__


rule train_generator:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        order=rules.draw_subsets.output.order,
    output:
        weights="results/generators/{generator}/{dataset}/size-{size}/seed-{seed}/weights.safetensors",
        network="results/generators/{generator}/{dataset}/size-{size}/seed-{seed}/network.json",
        curve="results/generators/{generator}/{dataset}/size-{size}/seed-{seed}/training.csv",
        snapshots="results/generators/{generator}/{dataset}/size-{size}/seed-{seed}/snapshots.npy",
    log:
        "results/logs/train_generator/{generator}/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/train_generator/{generator}/{dataset}/size-{size}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=1,
    params:
        generator=lookup(dpath="generators/{generator}", within=config),
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a resumed job starts from.
        checkpoints="results/checkpoints/{generator}/{dataset}/size-{size}/seed-{seed}",
    script:
        "../workflow_scripts/generators/train_generator.py"


rule draw_samples:
    input:
        weights=rules.train_generator.output.weights,
        network=rules.train_generator.output.network,
    output:
        images="results/samples/{generator}/{dataset}/size-{size}/seed-{seed}/images.npy",
        labels="results/samples/{generator}/{dataset}/size-{size}/seed-{seed}/labels.npy",
    log:
        "results/logs/draw_samples/{generator}/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/draw_samples/{generator}/{dataset}/size-{size}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
    params:
        samples=lookup(dpath="replication/samples", within=config),
    script:
        "../workflow_scripts/generators/draw_samples.py"


rule plot_training:
    input:
        curves=collect(
            "results/generators/{generator}/{dataset}/size-{size}/seed-{seed}/training.csv",
            size=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
            seed=lookup(dpath="replication/seeds", within=config),
            allow_missing=True,
        ),
        snapshots=collect(
            "results/generators/{generator}/{dataset}/size-{size}/seed-{seed}/snapshots.npy",
            size=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
            seed=lookup(dpath="replication/seeds/0", within=config),
            allow_missing=True,
        ),
    output:
        curves=report(
            "results/figures/training_curves/{generator}/{dataset}.svg",
            caption="../report/training_curves.rst",
            category="Training",
            labels={"generator": "{generator}", "data set": "{dataset}", "figure": "training curves"},
        ),
        curves_png="results/figures/training_curves/{generator}/{dataset}.png",
        curves_csv="results/figures/training_curves/{generator}/{dataset}.csv",
        snapshots=report(
            "results/figures/training_samples/{generator}/{dataset}.svg",
            caption="../report/training_samples.rst",
            category="Training",
            labels={"generator": "{generator}", "data set": "{dataset}", "figure": "samples over training"},
        ),
        snapshots_png="results/figures/training_samples/{generator}/{dataset}.png",
        snapshots_csv="results/figures/training_samples/{generator}/{dataset}.csv",
    log:
        "results/logs/plot_training/{generator}/{dataset}.log",
    benchmark:
        "results/benchmarks/plot_training/{generator}/{dataset}.tsv"
    params:
        sizes=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
        seeds=lookup(dpath="replication/seeds", within=config),
    script:
        "../workflow_scripts/generators/plot_training.py"
