"""Train teachers and distil students from them; measure attention, fidelity and generalisation, and what goes with what."""

STAGES["distillation"] = __doc__


rule draw_split:
    input:
        labels=rules.pack_images.output.labels,
        manifest=rules.pack_images.output.manifest,
        order=rules.draw_subsets.output.order,
        held_out=rules.draw_subsets.output.held_out,
    output:
        training="<course>/training.npy",
        validation="<course>/validation.npy",
    params:
        size=lookup(dpath="distillation/training", within=config),
        imbalance=lookup(dpath="distillation/imbalance", within=config),
    script:
        "../workflow_scripts/distillation/draw_split.py"


rule train_teacher:
    input:
        **IMAGE_SET,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        initial=initial_weights(DISTILLATION["teacher"]),
    output:
        weights="<course>/teachers/{teacher}/weights.safetensors",
        network="<course>/teachers/{teacher}/network.json",
        curve="<course>/teachers/{teacher}/training.csv",
    wildcard_constraints:
        teacher="(none|weak|strong|stronger)-[0-9]+",
    resources:
        **on_gpu(minutes=720),
    params:
        classifier=lookup(dpath="distillation/teacher", within=config),
        checkpoints="results/checkpoints/distillation/{dataset}/seed-{seed}/teachers/{teacher}",
    script:
        "../workflow_scripts/distillation/train_teacher.py"


rule take_teacher:
    input:
        **IMAGE_SET,
        training=rules.draw_split.output.training,
        given=lambda wildcards: local(checkpoint_of(wildcards)["weights"]),
    output:
        weights="<course>/teachers/{teacher}/weights.safetensors",
        network="<course>/teachers/{teacher}/network.json",
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
        weights="<course>/teachers/{teacher}/weights.safetensors",
        network="<course>/teachers/{teacher}/network.json",
    output:
        logits="<course>/teachers/{teacher}/stored_views.npy",
        views="<course>/teachers/{teacher}/stored_views.safetensors",
    resources:
        **on_gpu(minutes=120),
    params:
        views=lookup(dpath="distillation/stored_views", within=config),
    script:
        "../workflow_scripts/distillation/store_views.py"


rule train_student:
    input:
        unpack(teachers_of),
        **IMAGE_SET,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        initial=initial_weights(DISTILLATION["student"]),
    output:
        weights="<course>/students/{student}/weights.safetensors",
        network="<course>/students/{student}/network.json",
        curve="<course>/students/{student}/training.csv",
    resources:
        **on_gpu(minutes=720),
    params:
        student=lookup(dpath="distillation/student", within=config),
        teaching=taught_by,
        checkpoints="results/checkpoints/distillation/{dataset}/seed-{seed}/students/{student}",
    script:
        "../workflow_scripts/distillation/train_student.py"


# Of the validation images as they are, of the training images, and of the validation images at each rung of the ladder.
SHOWN = ["", "training_", "augmented_"]
LOOKED_AT = [*(f"{shown}{kind}" for kind in ["logits", "attention"] for shown in SHOWN), "features"]


rule look_with_teachers:
    input:
        images=rules.pack_images.output.images,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        weights=collect("<course>/teachers/{name}/weights.safetensors", name=TEACHERS, allow_missing=True),
        networks=collect("<course>/teachers/{name}/network.json", name=TEACHERS, allow_missing=True),
    output:
        expand("<course>/teachers/{name}/{kind}.npy", name=TEACHERS, kind=LOOKED_AT, allow_missing=True),
    resources:
        **on_gpu(minutes=60),
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
        weights=collect("<course>/students/{name}/weights.safetensors", name=STUDENTS, allow_missing=True),
        networks=collect("<course>/students/{name}/network.json", name=STUDENTS, allow_missing=True),
    output:
        expand("<course>/students/{name}/{kind}.npy", name=STUDENTS, kind=LOOKED_AT, allow_missing=True),


rule measure_students:
    input:
        images=rules.pack_images.output.images,
        labels=rules.pack_images.output.labels,
        training=rules.draw_split.output.training,
        validation=rules.draw_split.output.validation,
        teachers=collect("<course>/teachers/{name}/logits.npy", name=TEACHERS, allow_missing=True),
        students=collect("<course>/students/{name}/logits.npy", name=STUDENTS, allow_missing=True),
    output:
        "<course>/measures.json",
    resources:
        **on_gpu(minutes=60),
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
        measures=collect(f"{COURSE}/measures.json", dataset=DISTILLATION["datasets"], seed=DISTILLATION["seeds"]),
    output:
        table="results/distillation/table.csv",
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
        **figure("trends", "Distillation", "what goes with augmentation"),
        claims="results/distillation/claims.csv",
        trends="results/distillation/trends.csv",
        factors="results/distillation/two_factors.csv",
        summary="results/distillation/trends.json",
        answer="results/distillation/trends.md",
    script:
        "../workflow_scripts/distillation/find_trends.py"


rule diagnose:
    input:
        labels=rules.pack_images.output.labels,
        validation=f"{FIRST_COURSE}/validation.npy",
        logits=collect(f"{FIRST_COURSE}/teachers/{{name}}/logits.npy", name=TEACHERS, allow_missing=True),
        attention=collect(f"{FIRST_COURSE}/teachers/{{name}}/attention.npy", name=TEACHERS, allow_missing=True),
        images=rules.pack_images.output.images,
    output:
        **figure("attention/{dataset}", "Distillation", "attention of the teachers"),
        diagnosis="results/diagnosis/{dataset}.json",
        answer="results/diagnosis/{dataset}.md",
    resources:
        mem_mb=4000,
    params:
        teachers=list(AUGMENTATIONS),
        threshold=lookup(dpath="distillation/attention/threshold", within=config),
    script:
        "../workflow_scripts/distillation/diagnose.py"


rule choose_teachers:
    input:
        labels=rules.pack_images.output.labels,
        validation=collect(f"{COURSE}/validation.npy", seed=DISTILLATION["seeds"], allow_missing=True),
        logits=collect(
            f"{COURSE}/students/{{name}}/logits.npy", seed=DISTILLATION["seeds"], name=STUDENTS, allow_missing=True
        ),
    output:
        choice="results/choice/{dataset}.json",
        answer="results/choice/{dataset}.md",
    params:
        ensembles=ENSEMBLES,
        students=STUDENTS,
    script:
        "../workflow_scripts/distillation/choose_teachers.py"


rule compare_maps:
    input:
        images=rules.pack_images.output.images,
        validation=f"{FIRST_COURSE}/validation.npy",
        weights=networks_compared("weights.safetensors"),
        networks=networks_compared("network.json"),
    output:
        **figure("attention_maps/{dataset}", "Distillation", "what kinds of attention maps show"),
        answer="results/attention_maps/{dataset}.md",
    resources:
        **on_gpu(minutes=30),
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
            f"{COURSE}/teachers/{{name}}/logits.npy",
            dataset=DISTILLATION["datasets"],
            seed=DISTILLATION["seeds"],
            name=TEACHERS,
        ),


rule distillation:
    input:
        branch(bool(DISTILLED), then=[*rules.collect_distillation.output]),


rule trends:
    input:
        branch(bool(DISTILLED), then=[*rules.find_trends.output]),
        collect("results/choice/{dataset}.{kind}", dataset=DISTILLATION["datasets"], kind=["json", "md"]),
        collect("results/attention_maps/{dataset}.md", dataset=MAPPED),


rule diagnosis:
    input:
        collect("results/diagnosis/{dataset}.{kind}", dataset=DISTILLATION["datasets"], kind=["json", "md"]),
