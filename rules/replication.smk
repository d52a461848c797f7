"""Compare samples with training and held-out images: nearest neighbours, controls, replication, quality.

One job compares in all spaces, since starting one takes longer than its work; searches in shards are long, and each has a
job of its own.
"""

STAGES["replication"] = __doc__
# Of every seed: whether an image was a training image is asked of the runs of other seeds and sizes, too.
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
        temp("results/neighbours/{space}/<run>/shard-{shard}.parquet"),
    resources:
        **on_gpu(minutes=120),
    params:
        k=NEIGHBOURS,
        shards=SHARDS,
        largest=LARGEST_SIZE,
    script:
        "../workflow_scripts/replication/search_shard.py"


use rule search_shard as search_control_shard with:
    input:
        images=set_vectors,
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
    output:
        temp("results/controls/{space}/<subset>/shard-{shard}.parquet"),


rule compare_samples:
    input:
        images=in_each_space(set_vectors),
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
        orders=ORDERS,
        all_held_out=ALL_HELD_OUT,
        samples=in_each_space(sample_vectors),
        snapshots=lambda wildcards: snapshot_vectors(wildcards, EACH_SPACE[0]),  # that leads figures and laws
        network=rules.train_generator.output.network,
        shards=in_spaces("results/neighbours/{space}/<run>/shard-{shard}.parquet", shard=EACH_SHARD),
    output:
        neighbours=in_spaces("results/neighbours/{space}/<run>.parquet"),
        membership=in_spaces("results/membership/{space}/<run>.parquet"),
        quality=in_spaces("results/quality/{space}/<run>.json"),
        snapshots="results/snapshots/<run>.parquet",
        moments="results/snapshots/<run>.csv",
    resources:
        **on_gpu(minutes=120),
    params:
        k=NEIGHBOURS,
        largest=LARGEST_SIZE,
    script:
        "../workflow_scripts/replication/compare_samples.py"


rule find_near_duplicates:
    input:
        images=in_each_space(set_vectors),
        labels=rules.pack_images.output.labels,
        orders=ORDERS,
        all_held_out=ALL_HELD_OUT,
    output:
        table="results/near_duplicates/{dataset}.csv",
    resources:
        **on_gpu(minutes=120),
    params:
        spaces=EACH_SPACE,
        seeds=REPLICATION["seeds"],
    script:
        "../workflow_scripts/replication/find_near_duplicates.py"


rule find_control_neighbours:
    input:
        images=in_each_space(set_vectors),
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
        labels=rules.pack_images.output.labels,
        near_duplicates=rules.find_near_duplicates.output.table,
        shards=in_spaces("results/controls/{space}/<subset>/shard-{shard}.parquet", shard=EACH_SHARD),
    output:
        neighbours=in_spaces("results/controls/{space}/<subset>.parquet"),
        quality=in_spaces("results/controls/{space}/<subset>.json"),
    resources:
        **on_gpu(minutes=120),
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
        snapshots=rules.compare_samples.output.snapshots,
        moments=rules.compare_samples.output.moments,
    output:
        measured=in_spaces("results/replication/{space}/<run>.json"),
        moments="results/moments/<run>.csv",
    params:
        thresholds=[thresholds_in(config["spaces"][space], REPLICATION["thresholds"]) for space in EACH_SPACE],
    script:
        "../workflow_scripts/replication/measure_replication.py"


rule collect_replication:
    input:
        measured=each(f"results/replication/{{space}}/{RUN}.json", RUNS),
        quality=each(f"results/quality/{{space}}/{RUN}.json", RUNS),
        membership=each(f"results/membership/{{space}}/{RUN}.parquet", RUNS),
        controls=each(f"results/controls/{{space}}/{SUBSET}.json", RUNS),
        complexity=each(f"results/complexity/{SUBSET}.json", RUNS),
        near_duplicates=collect("results/near_duplicates/{dataset}.csv", dataset=REPLICATION["datasets"]),
        labels=collect("results/data/{dataset}/labels.parquet", dataset=REPLICATION["datasets"]),
    output:
        table="results/replication/table.csv",
        over_seeds="results/replication/over_seeds.csv",
        membership="results/replication/membership.csv",
        membership_of_runs="results/replication/membership_of_runs.csv",
        verdicts="results/replication/verdicts.json",
        answer="results/replication/verdicts.md",
    params:
        runs=RUNS,
        held_out={name: config["datasets"][name]["held_out"] for name in REPLICATION["datasets"]},
    script:
        "../workflow_scripts/replication/collect_replication.py"


rule plot_measures:
    input:
        table=rules.collect_replication.output.table,
        membership=rules.collect_replication.output.membership,
    output:
        **figure("quality/{space}", "Replication", "image quality", key="quality"),
        **figure("membership/{space}", "Replication", "membership", key="membership"),
        **figure("memorisation/{space}", "Replication", "measures of memorisation", key="memorisation"),
    script:
        "../workflow_scripts/replication/plot_measures.py"


rule plot_gallery:
    input:
        images=rules.pack_images.output.images,
        samples=of_subsets(f"results/samples/{RUN}/images.npy"),
        neighbours=of_subsets(f"results/neighbours/{{space}}/{RUN}.parquet"),
        measured=of_subsets(f"results/replication/{{space}}/{RUN}.json"),
    output:
        **figure("gallery/{space}/{generator}/{dataset}", "Replication", "nearest pairs"),
    params:
        sizes=SIZES,
    script:
        "../workflow_scripts/replication/plot_gallery.py"
