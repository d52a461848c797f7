"""Turn images into the vectors of a space, in which neighbours and quality are measured beside the pixels."""

STAGES["features"] = __doc__


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
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=1,
    params:
        space=lookup(dpath="spaces/{space}", within=config),
        checkpoints="results/checkpoints/encoders/{space}/{dataset}",
    script:
        "../workflow_scripts/features/train_simclr.py"


rule extract_feature_shard:
    input:
        unpack(weights_of),
        images=rules.pack_images.output.images,
    output:
        temp("results/features/{space}/{dataset}/shard-{shard}.npy"),
    log:
        "results/logs/extract_feature_shard/{space}/{dataset}/{shard}.log",
    benchmark:
        "results/benchmarks/extract_feature_shard/{space}/{dataset}/{shard}.tsv"
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=1,
    params:
        space=lookup(dpath="spaces/{space}", within=config),
        shards=SHARDS,
    script:
        "../workflow_scripts/features/extract_features.py"


rule extract_features:
    input:
        unpack(weights_of),
        unpack(joint_parts(set_vectors)),
        unpack(feature_shards),
        images=rules.pack_images.output.images,
    output:
        "results/features/{space}/{dataset}/images.npy",
    log:
        "results/logs/extract_features/{space}/{dataset}.log",
    benchmark:
        "results/benchmarks/extract_features/{space}/{dataset}.tsv"
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
