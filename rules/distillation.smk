"""Train teachers and distil students from them; measure attention, fidelity and generalisation, and what goes with what."""

STAGES["distillation"] = __doc__


wildcard_constraints:
    teacher=f"({'|'.join(['none', 'weak', 'strong', 'stronger', *CHECKPOINTS])})-[0-9]+",
    student="[a-z0-9+-]+\\.(none|weak|strong|stronger)",


rule draw_split:
    input:
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
    output:
        training=f"{CELL_OF_SEED}/training.npy",
        validation=f"{CELL_OF_SEED}/validation.npy",
    log:
        "results/logs/draw_split/{dataset}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/draw_split/{dataset}/seed-{seed}.tsv"
    params:
        size=lookup(dpath="distillation/training", within=config),
        imbalance=lookup(dpath="distillation/imbalance", within=config),
    script:
        "../workflow_scripts/distillation/draw_split.py"


rule train_teacher:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        initial=initial_weights(DISTILLATION["teacher"]),
    output:
        weights=f"{CELL_OF_SEED}/teachers/{{teacher}}/weights.safetensors",
        network=f"{CELL_OF_SEED}/teachers/{{teacher}}/network.json",
        curve=f"{CELL_OF_SEED}/teachers/{{teacher}}/training.csv",
    log:
        "results/logs/train_teacher/{dataset}/seed-{seed}/{teacher}.log",
    benchmark:
        "results/benchmarks/train_teacher/{dataset}/seed-{seed}/{teacher}.tsv"
    wildcard_constraints:
        teacher="(none|weak|strong|stronger)-[0-9]+",
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=1,
    params:
        classifier=lookup(dpath="distillation/teacher", within=config),
        checkpoints="results/checkpoints/distillation/{dataset}/seed-{seed}/teachers/{teacher}",
    script:
        "../workflow_scripts/distillation/train_teacher.py"


rule take_teacher:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        training=rules.draw_split.output.training,
        given=lambda wildcards: local(checkpoint_of(wildcards)["weights"]),
    output:
        weights=f"{CELL_OF_SEED}/teachers/{{teacher}}/weights.safetensors",
        network=f"{CELL_OF_SEED}/teachers/{{teacher}}/network.json",
    log:
        "results/logs/take_teacher/{dataset}/seed-{seed}/{teacher}.log",
    benchmark:
        "results/benchmarks/take_teacher/{dataset}/seed-{seed}/{teacher}.tsv"
    wildcard_constraints:
        teacher=f"({'|'.join(CHECKPOINTS) or '(?!)'})-1",
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        checkpoint=lambda wildcards: checkpoint_of(wildcards),
    script:
        "../workflow_scripts/distillation/take_teacher.py"


rule store_views:
    input:
        images=rules.pack_images.output.images,
        training=rules.draw_split.output.training,
        weights=f"{CELL_OF_SEED}/teachers/{{teacher}}/weights.safetensors",
        network=f"{CELL_OF_SEED}/teachers/{{teacher}}/network.json",
    output:
        logits=f"{CELL_OF_SEED}/teachers/{{teacher}}/stored_views.npy",
        views=f"{CELL_OF_SEED}/teachers/{{teacher}}/stored_views.safetensors",
    log:
        "results/logs/store_views/{dataset}/seed-{seed}/{teacher}.log",
    benchmark:
        "results/benchmarks/store_views/{dataset}/seed-{seed}/{teacher}.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=1,
    params:
        views=lookup(dpath="distillation/stored_views", within=config),
    script:
        "../workflow_scripts/distillation/store_views.py"


rule train_student:
    input:
        unpack(teachers_of),
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        initial=initial_weights(DISTILLATION["student"]),
    output:
        weights=f"{CELL_OF_SEED}/students/{{student}}/weights.safetensors",
        network=f"{CELL_OF_SEED}/students/{{student}}/network.json",
        curve=f"{CELL_OF_SEED}/students/{{student}}/training.csv",
    log:
        "results/logs/train_student/{dataset}/seed-{seed}/{student}.log",
    benchmark:
        "results/benchmarks/train_student/{dataset}/seed-{seed}/{student}.tsv"
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=1,
    params:
        distillation=lookup(dpath="distillation", within=config),
        checkpoints="results/checkpoints/distillation/{dataset}/seed-{seed}/students/{student}",
    script:
        "../workflow_scripts/distillation/train_student.py"


# Of the validation images as they are, of the training images, and of the validation images at each rung of the ladder.
LOOKED_AT = [
    "logits",
    "training_logits",
    "augmented_logits",
    "attention",
    "training_attention",
    "augmented_attention",
    "features",
]


rule look_with_teachers:
    input:
        images=rules.pack_images.output.images,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        weights=collect(f"{CELL_OF_SEED}/teachers/{{name}}/weights.safetensors", name=TEACHERS, allow_missing=True),
        networks=collect(f"{CELL_OF_SEED}/teachers/{{name}}/network.json", name=TEACHERS, allow_missing=True),
    output:
        expand(f"{CELL_OF_SEED}/teachers/{{name}}/{{kind}}.npy", name=TEACHERS, kind=LOOKED_AT, allow_missing=True),
    log:
        "results/logs/look_with_teachers/{dataset}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/look_with_teachers/{dataset}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
    params:
        attention=lookup(dpath="distillation/attention/method", within=config),
        rungs=RUNGS,
        student=lookup(dpath="distillation/student", within=config),
    script:
        "../workflow_scripts/distillation/look_at_images.py"


use rule look_with_teachers as look_with_students with:
    input:
        images=rules.pack_images.output.images,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        weights=collect(f"{CELL_OF_SEED}/students/{{name}}/weights.safetensors", name=STUDENTS, allow_missing=True),
        networks=collect(f"{CELL_OF_SEED}/students/{{name}}/network.json", name=STUDENTS, allow_missing=True),
    output:
        expand(f"{CELL_OF_SEED}/students/{{name}}/{{kind}}.npy", name=STUDENTS, kind=LOOKED_AT, allow_missing=True),
    log:
        "results/logs/look_with_students/{dataset}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/look_with_students/{dataset}/seed-{seed}.tsv"


rule measure_students:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        teachers=collect(f"{CELL_OF_SEED}/teachers/{{name}}/logits.npy", name=TEACHERS, allow_missing=True),
        students=collect(f"{CELL_OF_SEED}/students/{{name}}/logits.npy", name=STUDENTS, allow_missing=True),
    output:
        f"{CELL_OF_SEED}/measures.json",
    log:
        "results/logs/measure_students/{dataset}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/measure_students/{dataset}/seed-{seed}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
    params:
        ensembles=ENSEMBLES,
        students=STUDENTS,
        rungs=RUNGS,
        clean=[teacher for teacher, rung in AUGMENTATIONS.items() if rung == "none"],
        threshold=lookup(dpath="distillation/attention/threshold", within=config),
    script:
        "../workflow_scripts/distillation/measure_students.py"


rule collect_distillation:
    input:
        measures=collect(
            f"{CELL_OF_SEED}/measures.json",
            dataset=DISTILLATION["datasets"],
            seed=DISTILLATION["seeds"],
        ),
    output:
        table="results/distillation/table.csv",
    log:
        "results/logs/collect_distillation.log",
    benchmark:
        "results/benchmarks/collect_distillation.tsv"
    params:
        runs=[(dataset, seed) for dataset in DISTILLATION["datasets"] for seed in DISTILLATION["seeds"]],
        ensembles=ENSEMBLES,
        augmentations=AUGMENTATIONS,
    script:
        "../workflow_scripts/distillation/collect_distillation.py"


rule find_trends:
    input:
        rules.collect_distillation.output.table,
    output:
        claims="results/distillation/claims.csv",
        trends="results/distillation/trends.csv",
        factors="results/distillation/two_factors.csv",
        summary="results/distillation/trends.json",
        answer="results/distillation/trends.md",
        svg=report(
            "results/figures/trends.svg",
            caption="../report/trends.rst",
            category="Distillation",
            labels={"figure": "what goes with augmentation"},
        ),
        png="results/figures/trends.png",
        csv="results/figures/trends.csv",
    log:
        "results/logs/find_trends.log",
    benchmark:
        "results/benchmarks/find_trends.tsv"
    script:
        "../workflow_scripts/distillation/find_trends.py"


rule diagnose:
    input:
        labels=rules.pack_images.output.labels,
        validation=f"results/distillation/{{dataset}}/seed-{(DISTILLATION['seeds'] or [0])[0]}/validation.npy",
        logits=collect(
            "results/distillation/{dataset}/seed-{seed}/teachers/{teacher}/logits.npy",
            seed=(DISTILLATION["seeds"] or [0])[0],
            teacher=TEACHERS,
            allow_missing=True,
        ),
        attention=collect(
            "results/distillation/{dataset}/seed-{seed}/teachers/{teacher}/attention.npy",
            seed=(DISTILLATION["seeds"] or [0])[0],
            teacher=TEACHERS,
            allow_missing=True,
        ),
        images=rules.pack_images.output.images,
    output:
        diagnosis="results/diagnosis/{dataset}.json",
        answer="results/diagnosis/{dataset}.md",
        svg=report(
            "results/figures/attention/{dataset}.svg",
            caption="../report/attention.rst",
            category="Distillation",
            labels={"figure": "attention of the teachers", "data set": "{dataset}"},
        ),
        png="results/figures/attention/{dataset}.png",
        csv="results/figures/attention/{dataset}.csv",
    log:
        "results/logs/diagnose/{dataset}.log",
    benchmark:
        "results/benchmarks/diagnose/{dataset}.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        teachers=list(AUGMENTATIONS),
        threshold=lookup(dpath="distillation/attention/threshold", within=config),
    script:
        "../workflow_scripts/distillation/diagnose.py"


rule choose_teachers:
    input:
        labels=rules.pack_images.output.labels,
        validation=collect(
            f"{CELL_OF_SEED}/validation.npy",
            seed=DISTILLATION["seeds"],
            allow_missing=True,
        ),
        logits=collect(
            f"{CELL_OF_SEED}/students/{{student}}/logits.npy",
            seed=DISTILLATION["seeds"],
            student=STUDENTS,
            allow_missing=True,
        ),
    output:
        choice="results/choice/{dataset}.json",
        answer="results/choice/{dataset}.md",
    log:
        "results/logs/choose_teachers/{dataset}.log",
    benchmark:
        "results/benchmarks/choose_teachers/{dataset}.tsv"
    params:
        ensembles=ENSEMBLES,
        students=STUDENTS,
    script:
        "../workflow_scripts/distillation/choose_teachers.py"


rule compare_maps:
    input:
        images=rules.pack_images.output.images,
        validation=f"results/distillation/{{dataset}}/seed-{DISTILLATION['seeds'][0]}/validation.npy",
        weights=collect(
            f"{CELL_OF_SEED}/{{network}}/weights.safetensors",
            seed=DISTILLATION["seeds"],
            network=[f"students/{name}" for name in UNTAUGHT] + [f"teachers/{name}" for name in TEACHERS],
            allow_missing=True,
        ),
        networks=collect(
            f"{CELL_OF_SEED}/{{network}}/network.json",
            seed=DISTILLATION["seeds"],
            network=[f"students/{name}" for name in UNTAUGHT] + [f"teachers/{name}" for name in TEACHERS],
            allow_missing=True,
        ),
    output:
        answer="results/attention_maps/{dataset}.md",
        svg=report(
            "results/figures/attention_maps/{dataset}.svg",
            caption="../report/attention_maps.rst",
            category="Distillation",
            labels={"figure": "what kinds of attention maps show", "data set": "{dataset}"},
        ),
        png="results/figures/attention_maps/{dataset}.png",
        csv="results/figures/attention_maps/{dataset}.csv",
    log:
        "results/logs/compare_maps/{dataset}.log",
    benchmark:
        "results/benchmarks/compare_maps/{dataset}.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=1,
    params:
        seeds=DISTILLATION["seeds"],
        students=UNTAUGHT,
        pairs=PAIRS_OF_TEACHERS,
        threshold=lookup(dpath="distillation/attention/threshold", within=config),
    script:
        "../workflow_scripts/distillation/compare_maps.py"


rule teachers:
    input:
        collect(
            "results/distillation/{dataset}/seed-{seed}/teachers/{teacher}/logits.npy",
            dataset=DISTILLATION["datasets"],
            seed=DISTILLATION["seeds"],
            teacher=TEACHERS,
        ),


rule distillation:
    input:
        branch(bool(DISTILLED), then=[*rules.collect_distillation.output]),


rule trends:
    input:
        branch(bool(DISTILLED), then=[*rules.find_trends.output]),
        collect(rules.choose_teachers.output, dataset=DISTILLATION["datasets"]),
        collect(rules.compare_maps.output, dataset=MAPPED),


rule diagnosis:
    input:
        collect("results/diagnosis/{dataset}.{kind}", dataset=DISTILLATION["datasets"], kind=["json", "md"]),
