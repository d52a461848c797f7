"""Audit samples of a generator that is there already: does it copy the images that it was trained on?

Samples that were made elsewhere are packed like the data set that they are compared with; those of the config's
generators are there already. From then on there is one way for both.
"""

STAGES["audit"] = __doc__

SAMPLES_OF = lookup(dpath="audit/datasets/{dataset}/samples", within=config)
RELEASED = {"release": "results/audit/{dataset}/{samples}/release.npy"} if AUDIT["release"] else {}
# Pictures of training images; a redacted audit has none.
PAIRS_SHOWN = (
    {} if AUDIT["redact"] else figure("audit_pairs/{dataset}/{samples}", "Audit", "nearest pairs", "pairs_figure")
)
PAIRS_READ = {
    f"nearest_{kind}": collect(str(path), samples=SAMPLES_OF, allow_missing=True) for kind, path in PAIRS_SHOWN.items()
}


rule draw_pipeline_samples:
    input:
        unpack(own_generator),
    output:
        "results/audit/{dataset}/{samples}/drawn.npy",
    resources:
        **on_gpu(minutes=720),
    params:
        samples=lookup(dpath="samples/{samples}", within=config),
        listing=pipeline_listing,
    script:
        "../workflow_scripts/audit/draw_pipeline_samples.py"


use rule pack_images as pack_samples with:
    input:
        unpack(audited_files),
        audited=rules.pack_images.output.manifest,
    output:
        images="results/audit/{dataset}/{samples}/images.npy",
        labels="results/audit/{dataset}/{samples}/labels.parquet",
        manifest="results/audit/{dataset}/{samples}/manifest.json",
    log:
        "results/logs/pack_samples/{dataset}/{samples}.log",
        problems="results/logs/pack_samples/{dataset}/{samples}.problems.txt",
    params:
        dataset=audited_source,
        listing=audited_listing,


rule plant_copies:
    input:
        unpack(split_files(lambda wildcards: wildcards.split)),
        images=rules.pack_images.output.images,
    output:
        images="results/planted/{dataset}/{split}.npy",
        table="results/planted/{dataset}/{split}.parquet",
    params:
        planted=AUDIT["planted"],
        seed=AUDIT["seed"],
    script:
        "../workflow_scripts/audit/plant_copies.py"


use rule extract_features as extract_planted_features with:
    input:
        unpack(weights_of),
        images=rules.plant_copies.output.images,
    output:
        "results/features/{space}/planted/{dataset}/{split}.npy",


use rule extract_feature_shard as extract_audited_features with:
    input:
        unpack(weights_of),
        images=audited_images,
    output:
        temp("results/features/{space}/audit/{dataset}/{samples}/shard-{shard}.npy"),
    params:
        space=lookup(dpath="spaces/{space}", within=config),
        shards=AUDIT["shards"],


rule search_audit_controls:
    input:
        unpack(split_files(lambda wildcards: wildcards.split)),
        images=rules.pack_images.output.images,
        vectors=in_each_space(set_vectors, AUDIT_SPACES),
        planted=in_each_space(planted_vectors, AUDIT_SPACES),
        planted_images=rules.plant_copies.output.images,
        table=rules.plant_copies.output.table,
    output:
        "results/planted/{dataset}/{split}.neighbours.parquet",
    resources:
        **on_gpu(minutes=120),
    params:
        spaces=AUDIT_SPACES,
        seed=AUDIT["seed"],
    script:
        "../workflow_scripts/audit/search_audit_controls.py"


rule search_samples:
    input:
        unpack(split_files(split_name)),
        images=rules.pack_images.output.images,
        samples=audited_images,
        vectors=in_each_space(set_vectors, AUDIT_SPACES),
        sample_vectors=in_each_space(audited_vectors, AUDIT_SPACES),
    output:
        temp("results/audit/{dataset}/{samples}/shard-{shard}.parquet"),
    resources:
        **on_gpu(minutes=120),
    params:
        spaces=AUDIT_SPACES,
        split=split_name,
        shards=AUDIT["shards"],
        seed=AUDIT["seed"],
        all_members=AUDIT["release"],
    script:
        "../workflow_scripts/audit/search_samples.py"


rule score_by_generator:
    input:
        unpack(split_files(split_name)),
        unpack(own_generator),
        images=rules.pack_images.output.images,
    output:
        "results/audit/{dataset}/{samples}/losses.parquet",
    resources:
        **on_gpu(minutes=120),
    params:
        split=split_name,
        seed=AUDIT["seed"],
        listing=pipeline_listing,
    script:
        "../workflow_scripts/audit/score_by_generator.py"


rule measure_audit:
    input:
        unpack(split_files(split_name)),
        unpack(packed_samples),
        unpack(generator_losses),
        images=rules.pack_images.output.images,
        manifest=rules.pack_images.output.manifest,
        samples=audited_images,
        shards=collect(
            "results/audit/{dataset}/{samples}/shard-{shard}.parquet", shard=AUDIT_SHARDS, allow_missing=True
        ),
        controls=lambda wildcards: f"results/planted/{wildcards.dataset}/{split_name(wildcards)}.neighbours.parquet",
        table=lambda wildcards: f"results/planted/{wildcards.dataset}/{split_name(wildcards)}.parquet",
        quality_images=lambda wildcards: set_vectors(wildcards, QUALITY_SPACE),
        quality_samples=quality_samples,
    output:
        **figure("audit_distances/{dataset}/{samples}", "Audit", "distances", key="distances"),
        **PAIRS_SHOWN,
        **RELEASED,
        measured="results/audit/{dataset}/{samples}/measured.json",
        pairs="results/audit/{dataset}/{samples}/pairs.parquet",
    resources:
        **on_gpu(minutes=120),
    params:
        name=lambda wildcards: wildcards.samples,
        split=split_name,
        spaces={space: config["spaces"][space] for space in AUDIT_SPACES},
        thresholds=AUDIT["thresholds"],
        wanted=AUDIT["wanted_percentage"],
        quality_space=QUALITY_SPACE,
        seed=AUDIT["seed"],
    script:
        "../workflow_scripts/audit/measure_audit.py"


rule write_audit:
    input:
        **PAIRS_READ,
        **{name: collect(path, samples=SAMPLES_OF, allow_missing=True) for name, path in RELEASED.items()},
        measured=collect("results/audit/{dataset}/{samples}/measured.json", samples=SAMPLES_OF, allow_missing=True),
        distances=collect(
            "results/figures/audit_distances/{dataset}/{samples}.svg", samples=SAMPLES_OF, allow_missing=True
        ),
        numbers=collect(
            "results/figures/audit_distances/{dataset}/{samples}.csv", samples=SAMPLES_OF, allow_missing=True
        ),
        pairs=collect("results/audit/{dataset}/{samples}/pairs.parquet", samples=SAMPLES_OF, allow_missing=True),
        manifest=rules.pack_images.output.manifest,
        config="results/config.yaml",
    output:
        answer="results/audit/{dataset}/audit.json",
        text="results/audit/{dataset}/audit.md",
        pairs="results/audit/{dataset}/pairs.parquet",
        report="results/audit/{dataset}/report.html",
    params:
        samples=SAMPLES_OF,
        audit=AUDIT,
    script:
        "../workflow_scripts/audit/write_audit.py"


rule audit:
    input:
        collect("results/audit/{dataset}/{file}", dataset=AUDIT["datasets"], file=["audit.json", "report.html"]),
