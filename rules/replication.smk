"""Compare samples with training and held-out images: nearest neighbours, controls, replication, quality.

One job compares in all spaces, since starting one takes longer than its work; searches in shards are long, and each has a
job of its own.
"""

STAGES["replication"] = __doc__
RUN_IN_SPACE = "{run[space]}/{run[generator]}/{run[dataset]}/size-{run[size]}/seed-{run[seed]}"
# Of every seed: whether an image was a training image is asked of the runs of other seeds, too.
ORDERS = collect("results/subsets/{dataset}/seed-{seed}/order.npy", seed=REPLICATION["seeds"], allow_missing=True)
ALL_HELD_OUT = collect(
    "results/subsets/{dataset}/seed-{seed}/held_out.npy", seed=REPLICATION["seeds"], allow_missing=True
)


rule search_shard:
    input:
        images=set_vectors,
        order=rules.draw_subsets.output.order,
        orders=ORDERS,
        all_held_out=ALL_HELD_OUT,
        samples=sample_vectors,
    output:
        temp("results/neighbours/{space}/{generator}/{dataset}/size-{size}/seed-{seed}/shard-{shard}.parquet"),
    log:
        "results/logs/search_shard/{space}/{generator}/{dataset}/size-{size}/seed-{seed}/{shard}.log",
    benchmark:
        "results/benchmarks/search_shard/{space}/{generator}/{dataset}/size-{size}/seed-{seed}/{shard}.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
    params:
        k=NEIGHBOURS,
        shards=SHARDS,
    script:
        "../workflow_scripts/replication/search_shard.py"


use rule search_shard as search_control_shard with:
    input:
        images=set_vectors,
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
    output:
        temp("results/controls/{space}/{dataset}/size-{size}/seed-{seed}/shard-{shard}.parquet"),
    log:
        "results/logs/search_control_shard/{space}/{dataset}/size-{size}/seed-{seed}/{shard}.log",
    benchmark:
        "results/benchmarks/search_control_shard/{space}/{dataset}/size-{size}/seed-{seed}/{shard}.tsv"


rule compare_samples:
    input:
        images=in_each_space(set_vectors),
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
        orders=ORDERS,
        all_held_out=ALL_HELD_OUT,
        samples=in_each_space(sample_vectors),
        shards=collect(
            "results/neighbours/{space}/{generator}/{dataset}/size-{size}/seed-{seed}/shard-{shard}.parquet",
            space=EACH_SPACE,
            shard=EACH_SHARD,
            allow_missing=True,
        ),
    output:
        neighbours=collect(
            "results/neighbours/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.parquet",
            space=EACH_SPACE,
            allow_missing=True,
        ),
        membership=collect(
            "results/membership/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.parquet",
            space=EACH_SPACE,
            allow_missing=True,
        ),
        quality=collect(
            "results/quality/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.json",
            space=EACH_SPACE,
            allow_missing=True,
        ),
    log:
        "results/logs/compare_samples/{generator}/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/compare_samples/{generator}/{dataset}/size-{size}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
    params:
        k=NEIGHBOURS,
    script:
        "../workflow_scripts/replication/compare_samples.py"


rule find_control_neighbours:
    input:
        images=in_each_space(set_vectors),
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
        shards=collect(
            "results/controls/{space}/{dataset}/size-{size}/seed-{seed}/shard-{shard}.parquet",
            space=EACH_SPACE,
            shard=EACH_SHARD,
            allow_missing=True,
        ),
    output:
        neighbours=collect(
            "results/controls/{space}/{dataset}/size-{size}/seed-{seed}.parquet",
            space=EACH_SPACE,
            allow_missing=True,
        ),
        quality=collect(
            "results/controls/{space}/{dataset}/size-{size}/seed-{seed}.json",
            space=EACH_SPACE,
            allow_missing=True,
        ),
    log:
        "results/logs/find_control_neighbours/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/find_control_neighbours/{dataset}/size-{size}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
    params:
        k=NEIGHBOURS,
    script:
        "../workflow_scripts/replication/find_control_neighbours.py"


rule measure_replication:
    input:
        neighbours=rules.compare_samples.output.neighbours,
        controls=rules.find_control_neighbours.output.neighbours,
        membership=rules.compare_samples.output.membership,
        labels=rules.pack_images.output.labels,
    output:
        collect(
            "results/replication/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.json",
            space=EACH_SPACE,
            allow_missing=True,
        ),
    log:
        "results/logs/measure_replication/{generator}/{dataset}/size-{size}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/measure_replication/{generator}/{dataset}/size-{size}/seed-{seed}.tsv"
    params:
        thresholds=[thresholds_in(config["spaces"][space], REPLICATION["thresholds"]) for space in EACH_SPACE],
    script:
        "../workflow_scripts/replication/measure_replication.py"


rule collect_replication:
    input:
        measured=collect(f"results/replication/{RUN_IN_SPACE}.json", run=RUNS),
        quality=collect(f"results/quality/{RUN_IN_SPACE}.json", run=RUNS),
        membership=collect(f"results/membership/{RUN_IN_SPACE}.parquet", run=RUNS),
        controls=collect(
            "results/controls/{run[space]}/{run[dataset]}/size-{run[size]}/seed-{run[seed]}.json", run=RUNS
        ),
        complexity=collect("results/complexity/{run[dataset]}/size-{run[size]}/seed-{run[seed]}.json", run=RUNS),
    output:
        table="results/replication/table.csv",
        over_seeds="results/replication/over_seeds.csv",
        membership="results/replication/membership.csv",
        verdicts="results/replication/verdicts.json",
        answer="results/replication/verdicts.md",
    log:
        "results/logs/collect_replication.log",
    benchmark:
        "results/benchmarks/collect_replication.tsv"
    params:
        runs=RUNS,
    script:
        "../workflow_scripts/replication/collect_replication.py"


rule plot_quality:
    input:
        rules.collect_replication.output.table,
    output:
        svg=report(
            "results/figures/quality/{space}.svg",
            caption="../report/quality.rst",
            category="Replication",
            labels={"figure": "image quality", "space": "{space}"},
        ),
        png="results/figures/quality/{space}.png",
        csv="results/figures/quality/{space}.csv",
    log:
        "results/logs/plot_quality/{space}.log",
    benchmark:
        "results/benchmarks/plot_quality/{space}.tsv"
    params:
        figure="quality",
    script:
        "../workflow_scripts/replication/plot_measures.py"


use rule plot_quality as plot_memorisation with:
    output:
        svg=report(
            "results/figures/memorisation/{space}.svg",
            caption="../report/memorisation.rst",
            category="Replication",
            labels={"figure": "measures of memorisation", "space": "{space}"},
        ),
        png="results/figures/memorisation/{space}.png",
        csv="results/figures/memorisation/{space}.csv",
    log:
        "results/logs/plot_memorisation/{space}.log",
    benchmark:
        "results/benchmarks/plot_memorisation/{space}.tsv"
    params:
        figure="memorisation",


rule plot_gallery:
    input:
        images=rules.pack_images.output.images,
        samples=collect(
            "results/samples/{generator}/{dataset}/size-{size}/seed-{seed}/images.npy",
            size=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
            seed=FIRST_SEED,
            allow_missing=True,
        ),
        neighbours=collect(
            "results/neighbours/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.parquet",
            size=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
            seed=FIRST_SEED,
            allow_missing=True,
        ),
        measured=collect(
            "results/replication/{space}/{generator}/{dataset}/size-{size}/seed-{seed}.json",
            size=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
            seed=FIRST_SEED,
            allow_missing=True,
        ),
    output:
        svg=report(
            "results/figures/gallery/{space}/{generator}/{dataset}.svg",
            caption="../report/gallery.rst",
            category="Replication",
            labels={
                "figure": "nearest pairs",
                "generator": "{generator}",
                "data set": "{dataset}",
                "space": "{space}",
            },
        ),
        png="results/figures/gallery/{space}/{generator}/{dataset}.png",
        csv="results/figures/gallery/{space}/{generator}/{dataset}.csv",
    log:
        "results/logs/plot_gallery/{space}/{generator}/{dataset}.log",
    benchmark:
        "results/benchmarks/plot_gallery/{space}/{generator}/{dataset}.tsv"
    params:
        sizes=lookup(dpath="replication/datasets/{dataset}/sizes", within=config),
    script:
        "../workflow_scripts/replication/plot_gallery.py"
