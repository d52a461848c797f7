"""Rebalance a long-tailed set with synthetic images (GM-augCls), and measure what that gains over simpler remedies."""

STAGES["rebalancing"] = __doc__


rule choose_groups:
    input:
        **IMAGE_SET,
        similarity="results/similarity/{dataset}.json",
    output:
        "results/rebalancing/{dataset}/groups.json",
    threads: 2
    resources:
        **on_gpu(minutes=60),
    params:
        groups=lookup(dpath="rebalancing/groups", within=config),
        imbalance=lookup(dpath="rebalancing/imbalance", within=config),
        settings=SIMILARITY_SETTINGS,
    script:
        "../workflow_scripts/rebalancing/choose_groups.py"


rule draw_imbalance:
    input:
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        groups=rules.choose_groups.output[0],
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
    output:
        subset="<cell>/subset.npy",
        test="<cell>/test.npy",
        counts="<cell>/counts.json",
    params:
        imbalance=lookup(dpath="rebalancing/imbalance", within=config),
        budget=lookup(dpath="rebalancing/selection/budget", within=config),
    script:
        "../workflow_scripts/rebalancing/draw_imbalance.py"


use rule train_generator as train_class_generator with:
    input:
        **IMAGE_SET,
        order=rules.draw_imbalance.output.subset,
    output:
        weights="<cell>/generators/{generator}/weights.safetensors",
        network="<cell>/generators/{generator}/network.json",
        curve="<cell>/generators/{generator}/training.csv",
        snapshots="<cell>/generators/{generator}/snapshots.npy",
    params:
        generator=lookup(dpath="generators/{generator}", within=config),
        checkpoints="results/checkpoints/rebalancing/{dataset}/{group}/seed-{seed}/{generator}",


rule draw_candidates:
    input:
        weights=rules.train_class_generator.output.weights,
        network=rules.train_class_generator.output.network,
        counts=rules.draw_imbalance.output.counts,
    output:
        images="<cell>/candidates/{generator}/images.npy",
        labels="<cell>/candidates/{generator}/labels.parquet",
        manifest="<cell>/candidates/{generator}/manifest.json",
    resources:
        **on_gpu(minutes=120),
    script:
        "../workflow_scripts/rebalancing/draw_candidates.py"


rule select_images:
    input:
        unpack(selecting_classifier),
        images=rules.draw_candidates.output.images,
        labels=rules.draw_candidates.output.labels,
        manifest=rules.draw_candidates.output.manifest,
        counts=rules.draw_imbalance.output.counts,
    output:
        images="<cell>/synthetic/{generator}/{choice}/images.npy",
        labels="<cell>/synthetic/{generator}/{choice}/labels.parquet",
        manifest="<cell>/synthetic/{generator}/{choice}/manifest.json",
        report="<cell>/synthetic/{generator}/{choice}/report.csv",
    resources:
        **on_gpu(minutes=60, gpu=lambda wildcards: int(wildcards.choice != "random")),
    params:
        threshold=lookup(dpath="rebalancing/selection/threshold", within=config),
    script:
        "../workflow_scripts/rebalancing/select_images.py"


rule measure_synthetic:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        subset=rules.draw_imbalance.output.subset,
        test=rules.draw_imbalance.output.test,
        counts=rules.draw_imbalance.output.counts,
        synthetic=collect("<cell>/synthetic/{generator}/{choice}/images.npy", choice=CHOICES, allow_missing=True),
        synthetic_labels=collect(
            "<cell>/synthetic/{generator}/{choice}/labels.parquet", choice=CHOICES, allow_missing=True
        ),
    output:
        "<cell>/synthetic/{generator}/quality.csv",
    resources:
        **on_gpu(minutes=60),
    params:
        choices=CHOICES,
    script:
        "../workflow_scripts/rebalancing/measure_synthetic.py"


rule train_baselines:
    input:
        **IMAGE_SET,
        subset=rules.draw_imbalance.output.subset,
        test=rules.draw_imbalance.output.test,
        counts=rules.draw_imbalance.output.counts,
        initial=initial_weights(REBALANCING["classifier"]),
    output:
        weights=expand("<cell>/arms/{arm}/weights.safetensors", arm=BASELINES, allow_missing=True),
        networks=expand("<cell>/arms/{arm}/network.json", arm=BASELINES, allow_missing=True),
        curves=expand("<cell>/arms/{arm}/training.csv", arm=BASELINES, allow_missing=True),
        predictions=expand("<cell>/arms/{arm}/predictions.npy", arm=BASELINES, allow_missing=True),
    resources:
        **on_gpu(minutes=720),
    params:
        arms=BASELINES,
        classifier=lookup(dpath="rebalancing/classifier", within=config),
        checkpoints="results/checkpoints/rebalancing/{dataset}/{group}/seed-{seed}/baselines",
    script:
        "../workflow_scripts/rebalancing/train_arm.py"


use rule train_baselines as train_arm with:
    input:
        unpack(synthetic_of),
        **IMAGE_SET,
        subset=rules.draw_imbalance.output.subset,
        test=rules.draw_imbalance.output.test,
        counts=rules.draw_imbalance.output.counts,
        initial=initial_weights(REBALANCING["classifier"]),
    output:
        weights=["<cell>/arms/{arm}/weights.safetensors"],
        networks=["<cell>/arms/{arm}/network.json"],
        curves=["<cell>/arms/{arm}/training.csv"],
        predictions=["<cell>/arms/{arm}/predictions.npy"],
    resources:
        **on_gpu(minutes=240),
    params:
        arms=["{arm}"],
        classifier=lookup(dpath="rebalancing/classifier", within=config),
        checkpoints="results/checkpoints/rebalancing/{dataset}/{group}/seed-{seed}/arms/{arm}",


rule collect_rebalancing:
    input:
        predictions=each(f"{CELL}/arms/{{arm}}/predictions.npy", REBALANCED, arm=ARMS),
        counts=each(f"{CELL}/counts.json", REBALANCED),
    output:
        table="results/rebalancing/table.csv",
        improvements="results/rebalancing/improvements.csv",
        over_baselines="results/rebalancing/over_baselines.csv",
    params:
        runs=REBALANCED,
        arms=ARMS,
        baselines=BASELINES,
    script:
        "../workflow_scripts/rebalancing/collect_rebalancing.py"


rule plot_rebalancing:
    input:
        improvements=rules.collect_rebalancing.output.improvements,
        counts=f"{FIRST_CELL}/counts.json",
        report=f"{FIRST_CELL}/synthetic/{LEADING_ARM.replace('.', '/', 1)}/report.csv",
    output:
        **figure("rebalancing/{dataset}/{group}/gains", "Rebalancing", "gains", key="gains"),
        **figure("rebalancing/{dataset}/{group}/counts", "Rebalancing", "images of each class", key="counts"),
    params:
        arms=ARMS,
        baselines=BASELINES,
    script:
        "../workflow_scripts/rebalancing/plot_rebalancing.py"


rule fit_gain_law:
    input:
        improvements=rules.collect_rebalancing.output.improvements,
        groups=collect("results/rebalancing/{dataset}/groups.json", dataset=REBALANCING["datasets"]),
    output:
        **figure("gain_law", "Rebalancing", "gain against class similarity"),
        law="results/gain_law/law.json",
        points="results/gain_law/points.csv",
        curves="results/gain_law/curves.csv",
    params:
        datasets=REBALANCING["datasets"],
        arms=SYNTHETIC_ARMS,
    script:
        "../workflow_scripts/rebalancing/fit_gain_law.py"


rule give_advice:
    input:
        unpack(measured_on),
        similarity=rules.measure_similarity.output[0],
        labels=rules.pack_images.output.labels,
        law=branch(bool(REBALANCED), then=rules.fit_gain_law.output.law),
        curves=branch(bool(REBALANCED), then=rules.fit_gain_law.output.curves),
        improvements=branch(bool(REBALANCED), then=rules.collect_rebalancing.output.improvements),
        over_baselines=branch(bool(REBALANCED), then=rules.collect_rebalancing.output.over_baselines),
    output:
        advice="results/advice/{dataset}.json",
        answer="results/advice/{dataset}.md",
    params:
        generators=REBALANCING["generators"],
    script:
        "../workflow_scripts/rebalancing/give_advice.py"


rule gm_aug_cls:
    input:
        branch(bool(REBALANCED), then=[*rules.collect_rebalancing.output]),
        each("results/figures/rebalancing/{dataset}/{group}/gains.svg", REBALANCED),
        each(f"{CELL}/synthetic/{{generator}}/quality.csv", REBALANCED, generator=REBALANCING["generators"]),


rule gain_law:
    input:
        branch(bool(REBALANCED), then=[*rules.fit_gain_law.output]),


rule advice:
    input:
        collect("results/advice/{dataset}.{kind}", dataset=SIMILARITY["datasets"], kind=["json", "md"]),
