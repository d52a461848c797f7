"""Turn images into the vectors of a space, in which neighbours and quality are measured beside the pixels."""


rule train_simclr:
    input:
        images=rules.pack_images.output.images,
        manifest=rules.pack_images.output.manifest,
    output:
        weights="results/encoders/{space}/{dataset}/weights.safetensors",
        network="results/encoders/{space}/{dataset}/network.json",
        curve="results/encoders/{space}/{dataset}/training.csv",
    log:
        "results/logs/train_simclr/{space}/{dataset}.log",
    benchmark:
        "results/benchmarks/train_simclr/{space}/{dataset}.tsv"
    container:
        IMAGE
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=1,
    params:
        space=lookup(dpath="spaces/{space}", within=config),
        checkpoints="results/checkpoints/encoders/{space}/{dataset}",
    script:
        "../workflow_scripts/features/train_simclr.py"


def weights_of(wildcards):
    """The files that hold the weights of a space's encoder, if it has any that the workflow knows of."""
    space = config["spaces"][wildcards.space]
    if space["kind"] == "simclr":
        folder = f"results/encoders/{wildcards.space}/{wildcards.dataset}"
        return {"weights": f"{folder}/weights.safetensors", "network": f"{folder}/network.json"}
    return {"weights": space["weights"]} if space.get("weights") else {}


def set_vectors(wildcards, space=None):
    """The vectors of an image set in a space: the packed images themselves in that of pixels."""
    space = space or wildcards.space
    if config["spaces"][space]["kind"] == "pixel":
        return f"results/data/{wildcards.dataset}/images.npy"
    return f"results/features/{space}/{wildcards.dataset}/images.npy"


def sample_vectors(wildcards, space=None):
    """The vectors of a generator's samples in a space."""
    space = space or wildcards.space
    run = f"{wildcards.generator}/{wildcards.dataset}/size-{wildcards.size}/seed-{wildcards.seed}"
    if config["spaces"][space]["kind"] == "pixel":
        return f"results/samples/{run}/images.npy"
    return f"results/features/{space}/{run}.npy"


def joint_parts(vectors):
    """Input function: for a joint space the vectors of its parts, and of the image set that sets their scales."""

    def parts(wildcards):
        names = config["spaces"][wildcards.space].get("parts", ())
        return {
            "references": [set_vectors(wildcards, name) for name in names],
            "parts": [vectors(wildcards, name) for name in names],
        }

    return parts


rule extract_features:
    input:
        unpack(weights_of),
        unpack(joint_parts(set_vectors)),
        images=rules.pack_images.output.images,
    output:
        "results/features/{space}/{dataset}/images.npy",
    log:
        "results/logs/extract_features/{space}/{dataset}.log",
    benchmark:
        "results/benchmarks/extract_features/{space}/{dataset}.tsv"
    container:
        IMAGE
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=1,
    params:
        space=lookup(dpath="spaces/{space}", within=config),
    script:
        "../workflow_scripts/features/extract_features.py"


use rule extract_features as extract_sample_features with:
    input:
        unpack(weights_of),
        unpack(joint_parts(sample_vectors)),
        images="results/samples/{generator}/{dataset}/size-{size}/seed-{seed}/images.npy",
    output:
        "results/features/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.npy",
    log:
        "results/logs/extract_sample_features/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/extract_sample_features/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.tsv"
