"""Train a generator on each subset, draw its samples, and show how training went."""

STAGES["generators"] = __doc__


rule train_generator:
    input:
        **IMAGE_SET,
        order=rules.draw_subsets.output.order,
    output:
        weights="results/generators/<run>/weights.safetensors",
        network="results/generators/<run>/network.json",
        discriminator="results/generators/<run>/discriminator.safetensors",
        curve="results/generators/<run>/training.csv",
        snapshots="results/generators/<run>/snapshots.npy",
    resources:
        **on_gpu(minutes=720),
    params:
        generator=lookup(dpath="generators/{generator}", within=config),
        snapshot_samples=lookup(dpath="replication/snapshot_samples", within=config),
        # Not an output: Snakemake deletes outputs before a job starts, and this is what a resumed job starts from.
        checkpoints=f"results/checkpoints/{RUN}",
    script:
        "../workflow_scripts/generators/train_generator.py"


rule draw_samples:
    input:
        weights=rules.train_generator.output.weights,
        network=rules.train_generator.output.network,
    output:
        images="results/samples/<run>/images.npy",
        labels="results/samples/<run>/labels.npy",
    resources:
        **on_gpu(minutes=60),
    params:
        samples=lookup(dpath="replication/samples", within=config),
    script:
        "../workflow_scripts/generators/draw_samples.py"


rule plot_training:
    input:
        curves=collect(
            f"results/generators/{RUN}/training.csv", size=SIZES, seed=REPLICATION["seeds"], allow_missing=True
        ),
        snapshots=of_subsets(f"results/generators/{RUN}/snapshots.npy"),
    output:
        **figure("training_curves/{generator}/{dataset}", "Training", "training curves", key="curves"),
        **figure("training_samples/{generator}/{dataset}", "Training", "samples over training", key="snapshots"),
    params:
        sizes=SIZES,
        seeds=lookup(dpath="replication/seeds", within=config),
    script:
        "../workflow_scripts/generators/plot_training.py"
