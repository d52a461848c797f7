"""Rebalance a long-tailed set with synthetic images (GM-augCls), and measure what that gains over simpler remedies."""

STAGES["rebalancing"] = __doc__


wildcard_constraints:
    group="all|(alike|unlike|random)-[0-9]+",
    choice="random|classifier-[0-9]+",
    arm="|".join(map(re.escape, SYNTHETIC_ARMS)),


rule choose_groups:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        similarity="results/similarity/{dataset}.json",
    output:
        "results/rebalancing/{dataset}/groups.json",
    log:
        "results/logs/choose_groups/{dataset}.log",
    benchmark:
        "results/benchmarks/choose_groups/{dataset}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
    params:
        groups=lookup(dpath="rebalancing/groups", within=config),
        imbalance=lookup(dpath="rebalancing/imbalance", within=config),
        settings=lookup(dpath="similarity", within=config),
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
        subset=f"{CELL}/subset.npy",
        test=f"{CELL}/test.npy",
        counts=f"{CELL}/counts.json",
    log:
        "results/logs/draw_imbalance/{dataset}/{group}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/draw_imbalance/{dataset}/{group}/seed-{seed}.tsv"
    params:
        imbalance=lookup(dpath="rebalancing/imbalance", within=config),
        budget=lookup(dpath="rebalancing/selection/budget", within=config),
    script:
        "../workflow_scripts/rebalancing/draw_imbalance.py"


use rule train_generator as train_class_generator with:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        order=rules.draw_imbalance.output.subset,
    output:
        weights=f"{CELL}/generators/{{generator}}/weights.safetensors",
        network=f"{CELL}/generators/{{generator}}/network.json",
        curve=f"{CELL}/generators/{{generator}}/training.csv",
        snapshots=f"{CELL}/generators/{{generator}}/snapshots.npy",
    log:
        "results/logs/train_class_generator/{dataset}/{group}/seed-{seed}/{generator}.log",
    benchmark:
        "results/benchmarks/train_class_generator/{dataset}/{group}/seed-{seed}/{generator}.tsv"
    params:
        generator=lookup(dpath="generators/{generator}", within=config),
        checkpoints="results/checkpoints/rebalancing/{dataset}/{group}/seed-{seed}/{generator}",


rule draw_candidates:
    input:
        weights=rules.train_class_generator.output.weights,
        network=rules.train_class_generator.output.network,
        counts=rules.draw_imbalance.output.counts,
    output:
        images=f"{CELL}/candidates/{{generator}}/images.npy",
        labels=f"{CELL}/candidates/{{generator}}/labels.parquet",
        manifest=f"{CELL}/candidates/{{generator}}/manifest.json",
    log:
        "results/logs/draw_candidates/{dataset}/{group}/seed-{seed}/{generator}.log",
    benchmark:
        "results/benchmarks/draw_candidates/{dataset}/{group}/seed-{seed}/{generator}.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
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
        images=f"{CELL}/synthetic/{{generator}}/{{choice}}/images.npy",
        labels=f"{CELL}/synthetic/{{generator}}/{{choice}}/labels.parquet",
        manifest=f"{CELL}/synthetic/{{generator}}/{{choice}}/manifest.json",
        report=f"{CELL}/synthetic/{{generator}}/{{choice}}/report.csv",
    log:
        "results/logs/select_images/{dataset}/{group}/seed-{seed}/{generator}/{choice}.log",
    benchmark:
        "results/benchmarks/select_images/{dataset}/{group}/seed-{seed}/{generator}/{choice}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
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
        synthetic=collect(f"{CELL}/synthetic/{{generator}}/{{choice}}/images.npy", choice=CHOICES, allow_missing=True),
        synthetic_labels=collect(
            f"{CELL}/synthetic/{{generator}}/{{choice}}/labels.parquet", choice=CHOICES, allow_missing=True
        ),
    output:
        f"{CELL}/synthetic/{{generator}}/quality.csv",
    log:
        "results/logs/measure_synthetic/{dataset}/{group}/seed-{seed}/{generator}.log",
    benchmark:
        "results/benchmarks/measure_synthetic/{dataset}/{group}/seed-{seed}/{generator}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
    params:
        choices=CHOICES,
    script:
        "../workflow_scripts/rebalancing/measure_synthetic.py"


rule train_baselines:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        subset=rules.draw_imbalance.output.subset,
        test=rules.draw_imbalance.output.test,
        counts=rules.draw_imbalance.output.counts,
        initial=initial_weights(REBALANCING["classifier"]),
    output:
        weights=expand(f"{CELL}/arms/{{arm}}/weights.safetensors", arm=BASELINES, allow_missing=True),
        networks=expand(f"{CELL}/arms/{{arm}}/network.json", arm=BASELINES, allow_missing=True),
        curves=expand(f"{CELL}/arms/{{arm}}/training.csv", arm=BASELINES, allow_missing=True),
        predictions=expand(f"{CELL}/arms/{{arm}}/predictions.npy", arm=BASELINES, allow_missing=True),
    log:
        "results/logs/train_baselines/{dataset}/{group}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/train_baselines/{dataset}/{group}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=1,
    params:
        arms=BASELINES,
        classifier=lookup(dpath="rebalancing/classifier", within=config),
        checkpoints="results/checkpoints/rebalancing/{dataset}/{group}/seed-{seed}/baselines",
    script:
        "../workflow_scripts/rebalancing/train_arm.py"


use rule train_baselines as train_arm with:
    input:
        unpack(synthetic_of),
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        subset=rules.draw_imbalance.output.subset,
        test=rules.draw_imbalance.output.test,
        counts=rules.draw_imbalance.output.counts,
        initial=initial_weights(REBALANCING["classifier"]),
    output:
        weights=[f"{CELL}/arms/{{arm}}/weights.safetensors"],
        networks=[f"{CELL}/arms/{{arm}}/network.json"],
        curves=[f"{CELL}/arms/{{arm}}/training.csv"],
        predictions=[f"{CELL}/arms/{{arm}}/predictions.npy"],
    log:
        "results/logs/train_arm/{dataset}/{group}/seed-{seed}/{arm}.log",
    benchmark:
        "results/benchmarks/train_arm/{dataset}/{group}/seed-{seed}/{arm}.tsv"
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=1,
    params:
        arms=["{arm}"],
        classifier=lookup(dpath="rebalancing/classifier", within=config),
        checkpoints="results/checkpoints/rebalancing/{dataset}/{group}/seed-{seed}/arms/{arm}",


rule collect_rebalancing:
    input:
        predictions=collect(
            "results/rebalancing/{run[dataset]}/{run[group]}/seed-{run[seed]}/arms/{arm}/predictions.npy",
            run=REBALANCED,
            arm=ARMS,
        ),
        counts=collect("results/rebalancing/{run[dataset]}/{run[group]}/seed-{run[seed]}/counts.json", run=REBALANCED),
    output:
        table="results/rebalancing/table.csv",
        improvements="results/rebalancing/improvements.csv",
        over_baselines="results/rebalancing/over_baselines.csv",
    log:
        "results/logs/collect_rebalancing.log",
    benchmark:
        "results/benchmarks/collect_rebalancing.tsv"
    params:
        runs=REBALANCED,
        arms=ARMS,
        baselines=BASELINES,
    script:
        "../workflow_scripts/rebalancing/collect_rebalancing.py"


rule plot_rebalancing:
    input:
        improvements=rules.collect_rebalancing.output.improvements,
        counts="results/rebalancing/{dataset}/{group}/" f"seed-{FIRST_REBALANCING_SEED}/counts.json",
        report="results/rebalancing/{dataset}/{group}/"
        f"seed-{FIRST_REBALANCING_SEED}/synthetic/{LEADING_ARM.replace('.', '/', 1)}/report.csv",
    output:
        gains=report(
            "results/figures/rebalancing/{dataset}/{group}/gains.svg",
            caption="../report/gains.rst",
            category="Rebalancing",
            labels={"figure": "gains", "data set": "{dataset}", "classes": "{group}"},
        ),
        gains_png="results/figures/rebalancing/{dataset}/{group}/gains.png",
        gains_csv="results/figures/rebalancing/{dataset}/{group}/gains.csv",
        counts=report(
            "results/figures/rebalancing/{dataset}/{group}/counts.svg",
            caption="../report/counts.rst",
            category="Rebalancing",
            labels={"figure": "images of each class", "data set": "{dataset}", "classes": "{group}"},
        ),
        counts_png="results/figures/rebalancing/{dataset}/{group}/counts.png",
        counts_csv="results/figures/rebalancing/{dataset}/{group}/counts.csv",
    log:
        "results/logs/plot_rebalancing/{dataset}/{group}.log",
    benchmark:
        "results/benchmarks/plot_rebalancing/{dataset}/{group}.tsv"
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
        law="results/gain_law/law.json",
        points="results/gain_law/points.csv",
        curves="results/gain_law/curves.csv",
        svg=report(
            "results/figures/gain_law.svg",
            caption="../report/gain_law.rst",
            category="Rebalancing",
            labels={"figure": "gain against class similarity"},
        ),
        png="results/figures/gain_law.png",
        csv="results/figures/gain_law.csv",
    log:
        "results/logs/fit_gain_law.log",
    benchmark:
        "results/benchmarks/fit_gain_law.tsv"
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
    log:
        "results/logs/give_advice/{dataset}.log",
    benchmark:
        "results/benchmarks/give_advice/{dataset}.tsv"
    params:
        generators=REBALANCING["generators"],
    script:
        "../workflow_scripts/rebalancing/give_advice.py"


rule gm_aug_cls:
    input:
        branch(bool(REBALANCED), then=[*rules.collect_rebalancing.output]),
        collect("results/figures/rebalancing/{run[dataset]}/{run[group]}/gains.svg", run=REBALANCED),
        collect(
            "results/rebalancing/{run[dataset]}/{run[group]}/seed-{run[seed]}/synthetic/{generator}/quality.csv",
            run=REBALANCED,
            generator=REBALANCING["generators"],
        ),


rule gain_law:
    input:
        branch(bool(REBALANCED), then=[*rules.fit_gain_law.output]),


rule advice:
    input:
        collect("results/advice/{dataset}.{kind}", dataset=SIMILARITY["datasets"], kind=["json", "md"]),
