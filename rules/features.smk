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
    resources:
        **on_gpu(minutes=720),
    params:
        space=lookup(dpath="spaces/{space}", within=config),
        checkpoints="results/checkpoints/encoders/{space}/{dataset}",
    script:
        "../workflow_scripts/features/train_simclr.py"


rule extract_features:
    input:
        unpack(weights_of),
        unpack(joint_parts(set_vectors)),
        unpack(feature_shards),
        images=rules.pack_images.output.images,
    output:
        "results/features/{space}/{dataset}/images.npy",
    threads: threads_of_encoder
    resources:
        **on_gpu(minutes=240, mem_mb=8000, gpu=gpu_of_encoder),
    params:
        space=lookup(dpath="spaces/{space}", within=config),
    script:
        "../workflow_scripts/features/extract_features.py"


use rule extract_features as extract_feature_shard with:
    input:
        unpack(weights_of),
        images=rules.pack_images.output.images,
    output:
        temp("results/features/{space}/{dataset}/shard-{shard}.npy"),
    params:
        space=lookup(dpath="spaces/{space}", within=config),
        shards=SHARDS,


use rule extract_features as extract_sample_features with:
    input:
        unpack(weights_of),
        unpack(joint_parts(sample_vectors)),
        images="results/samples/<run>/images.npy",
    output:
        "results/features/{space}/<run>.npy",


use rule extract_features as extract_snapshot_features with:
    input:
        unpack(weights_of),
        unpack(joint_parts(snapshot_vectors)),
        images="results/generators/<run>/snapshots.npy",
    output:
        "results/features/{space}/<run>.snapshots.npy",
