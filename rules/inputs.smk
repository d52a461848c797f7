"""What the rules ask for: the combinations of each study, and functions that choose a job's inputs. No rules."""

from itertools import combinations, product

# Parts of paths that many rules share: `<run>` in a rule's paths, the constant where a pattern is filled in.
SUBSET = "{dataset}/size-{size}/seed-{seed}"
RUN = f"{{generator}}/{SUBSET}"
CELL = "results/rebalancing/{dataset}/{group}/seed-{seed}"
COURSE = "results/distillation/{dataset}/seed-{seed}"


pathvars:
    subset=SUBSET,
    run=RUN,
    cell=CELL,
    course=COURSE,


def each(path, entries, **values):
    """A path whose wildcards are keys of `entries`, of each of them; and of each combination of further values."""
    return [
        path.format(**entry, **dict(zip(values, further))) for entry in entries for further in product(*values.values())
    ]


def on_gpu(minutes, mem_mb=4000, gpu=1):
    """The resources of a job that computes on a GPU where there is one."""
    return {"mem_mb": mem_mb, "runtime": minutes, "gpu": gpu}


def gpu_of_encoder(wildcards, input):
    """One where a network looks at images; to join spaces or shards and to shrink images takes none."""
    return int(config["spaces"][wildcards.space]["kind"] not in ("joint", "pixel") and not input.get("shards"))


LARGE = 200e6  # bytes of images that a network looks at for a minute or more


def threads_of_encoder(wildcards, input):
    """Two where it looks at a large set; a job for a small one takes hardly longer than it takes to start."""
    large = os.path.exists(input.images) and os.path.getsize(input.images) > LARGE
    return 2 if large and gpu_of_encoder(wildcards, input) else 1


def figure(path, category, title, key=""):
    """The three files of a figure, for a rule's output: the SVG with its place in Snakemake's report, PNG and numbers.

    The caption is named like the figure. A rule with several figures tells their files apart by `key`.
    """
    columns = {
        "generator": "generator",
        "dataset": "data set",
        "space": "space",
        "group": "classes",
        "samples": "samples",
    }
    labels = {column: f"{{{name}}}" for name, column in columns.items() if f"{{{name}}}" in path}
    *_, caption = (part for part in Path(path).parts if "{" not in part)
    svg = report(
        f"results/figures/{path}.svg",
        caption=f"../report/{caption}.rst",
        category=category,
        labels={"figure": title, **labels},
    )
    files = {key or "svg": svg}
    return files | {f"{key}_{kind}".lstrip("_"): f"results/figures/{path}.{kind}" for kind in ("png", "csv")}


def shipped(*names):
    """Digests of files of this repository, for the parameters of a job that reads them.

    They are no inputs: the path of an input is remembered, and in a checkout at another place everything would be stale.
    """
    return {name: sha256(ROOT / "resources" / name) for name in names}


def source_files(wildcards):
    """The files that a data set is read from, so that it is packed again after they change; or URLs of a storage plugin.

    A folder must exist, but its time does not count: it changes with any file beside the images.
    """
    return _files_of(config["datasets"][wildcards.dataset])


def _files_of(dataset):
    keys = () if dataset.get("download") else DATASETS[dataset["source"]].files
    files = {key: dataset[key] for key in (*keys, "groups") if dataset[key]}
    return {
        key: storage(path) if "://" in path else ancient(local(path)) if os.path.isdir(path) else local(path)
        for key, path in files.items()
    }


def listing_of(wildcards):
    """Fingerprints of the folders that a data set is read from, so that it is packed again after a change in them."""
    return _listings(config["datasets"][wildcards.dataset])


def _listings(dataset):
    if dataset["source"] == "shipped":
        return [shipped(f"{dataset['name']}/about.json")]  # which names the digests of the images
    keys = DATASETS[dataset["source"]].files if not dataset.get("download") else ()
    folders = [dataset[key] for key in keys if dataset[key] and "://" not in dataset[key]]
    return [files_below(folder, dataset.get("follow_links", False)).fingerprint for folder in folders]


def weights_of(wildcards):
    """The files that hold the weights of a space's encoder, if it has any that the workflow knows of."""
    space = config["spaces"][wildcards.space]
    if space["kind"] == "simclr":
        folder = f"results/encoders/{wildcards.space}/{wildcards.dataset}"
        return {"weights": f"{folder}/weights.safetensors", "network": f"{folder}/network.json"}
    return {"weights": local(space["weights"])} if space.get("weights") else {}


def vectors_of(images, features):
    """Input function: vectors of images in a space, the job's own if none is named; of pixels, the packed images."""

    def vectors(wildcards, space=None):
        space = space or wildcards.space
        packed = config["spaces"][space] == {"kind": "pixel", "resolution": None}
        return (images if packed else features).format(**{**wildcards, "space": space})

    return vectors


set_vectors = vectors_of("results/data/{dataset}/images.npy", "results/features/{space}/{dataset}/images.npy")
sample_vectors = vectors_of(f"results/samples/{RUN}/images.npy", f"results/features/{{space}}/{RUN}.npy")
# Of the samples that a training kept, all its moments one after the other.
snapshot_vectors = vectors_of(
    f"results/generators/{RUN}/snapshots.npy", f"results/features/{{space}}/{RUN}.snapshots.npy"
)


def in_spaces(path, **values):
    """A path of every space of the study, in their order."""
    return collect(path, space=EACH_SPACE, **values, allow_missing=True)


def of_subsets(path):
    """A path of the subset of every size, of the first seed."""
    return collect(path, size=SIZES, seed=FIRST_SEED, allow_missing=True)


def in_each_space(vectors, spaces=EACH_SPACE):
    """Input function: those vectors in every space of the study, or in those named, in their order."""
    return lambda wildcards: [vectors(wildcards, space) for space in spaces]


def joint_parts(vectors):
    """Input function: for a joint space the vectors of its parts, and of the image set that sets their scales."""

    def parts(wildcards):
        names = config["spaces"][wildcards.space].get("parts", ())
        return {
            "references": [set_vectors(wildcards, name) for name in names],
            "parts": [vectors(wildcards, name) for name in names],
        }

    return parts


def feature_shards(wildcards):
    """The parts of an image set's features, where they are extracted in parts; joint spaces have other parts."""
    shards = [] if config["spaces"][wildcards.space]["kind"] == "joint" else EACH_SHARD
    return {"shards": [f"results/features/{wildcards.space}/{wildcards.dataset}/shard-{shard}.npy" for shard in shards]}


BASELINES = ["original", "class-weights", "repetition", "balanced-softmax"]


def group_names():
    """The groups of classes that the pipeline runs on: all of them, and those chosen by their similarity."""
    groups = REBALANCING["groups"]
    return ["all", *(f"{kind}-{i + 1}" for kind in ("alike", "unlike", "random") for i in range(groups[kind]))]


# How synthetic images are selected; the last way leads.
CHOICES = ["random", *(f"classifier-{step + 1}" for step in range(REBALANCING["selection"]["steps"]))]
SYNTHETIC_ARMS = [f"{generator}.{choice}" for generator in REBALANCING["generators"] for choice in CHOICES]
ARMS = [*BASELINES, *SYNTHETIC_ARMS]
LEADING_ARM = ARMS[-1]
FIRST_CELL = CELL.replace("{seed}", str(REBALANCING["seeds"][0]))
REBALANCED = [
    {"dataset": dataset, "group": group, "seed": seed}
    for dataset in REBALANCING["datasets"]
    for group in group_names()
    for seed in REBALANCING["seeds"]
]


def measured_on(wildcards):
    """What the study found of a data set's own images, if it was made long-tailed or is so: for its advice."""
    if wildcards.dataset not in REBALANCING["datasets"]:
        return {"counts": [], "quality": []}
    cells = collect(CELL, dataset=wildcards.dataset, group="all", seed=REBALANCING["seeds"])
    quality = [f"{cells[0]}/synthetic/{generator}/quality.csv" for generator in REBALANCING["generators"]]
    return {"counts": [f"{cell}/counts.json" for cell in cells], "quality": quality}


def selecting_classifier(wildcards):
    """Images are selected by the classifier of the original set, and again by that of the step before."""
    if wildcards.choice == "random":
        return {}
    step = int(wildcards.choice.rsplit("-", 1)[1])
    arm = "original" if step == 1 else f"{wildcards.generator}.classifier-{step - 1}"
    folder = CELL.format(**wildcards)
    return {"weights": f"{folder}/arms/{arm}/weights.safetensors", "network": f"{folder}/arms/{arm}/network.json"}


def synthetic_of(wildcards):
    """The synthetic images that an arm adds to the original ones."""
    folder = f"{CELL.format(**wildcards)}/synthetic/{wildcards.arm.replace('.', '/', 1)}"
    return {"synthetic": f"{folder}/images.npy", "synthetic_labels": f"{folder}/labels.parquet"}


def initial_weights(classifier):
    """The file that a classifier's training starts from, if the config names one."""
    path = classifier["overrides"].get("weights")
    return [local(path)] if path else []


CHECKPOINTS = DISTILLATION["checkpoints"]  # trained networks of the user's own
ALONE = ["alone", "smoothed"]  # students without teachers: plain, and with label smoothing


def ensemble_name(rungs):
    return "+".join(rungs)


def members(rungs):
    """Names of an ensemble's teachers: of equal rungs, each of another initial seed; or of a checkpoint."""
    return [f"{rung}-{rungs[:i].count(rung) + 1}" for i, rung in enumerate(rungs)]


ENSEMBLES = {ensemble_name(rungs): members(rungs) for rungs in DISTILLATION["ensembles"]}
TEACHERS = sorted({name for teachers in ENSEMBLES.values() for name in teachers})
STUDENTS = [f"{ensemble}.{view}" for ensemble in [*ENSEMBLES, *ALONE] for view in DISTILLATION["views"]]
UNTAUGHT = [f"{kind}.{view}" for kind in ALONE for view in DISTILLATION["views"]]
PAIRS_OF_TEACHERS = sorted({pair for teachers in ENSEMBLES.values() for pair in combinations(teachers, 2)})
DISTILLED = [
    {"dataset": dataset, "seed": seed, "student": student}
    for dataset in DISTILLATION["datasets"]
    for seed in DISTILLATION["seeds"]
    for student in STUDENTS
]
# The rung of the ladder that each teacher was trained at.
AUGMENTATIONS = {
    name: CHECKPOINTS.get(kind, {"augmentation": kind})["augmentation"]
    for name in TEACHERS
    for kind in [name.rsplit("-", 1)[0]]
}
FIRST_COURSE = COURSE.replace("{seed}", str(DISTILLATION["seeds"][0]))
# Kinds of maps are compared where all networks have class activation maps.
MAPPED = DISTILLATION["datasets"] if DISTILLATION["attention"]["method"] in ("predicted", "class_sum") else []
RUNGS = sorted({*AUGMENTATIONS.values(), *DISTILLATION["views"]})


def checkpoint_of(wildcards):
    return CHECKPOINTS[wildcards.teacher.rsplit("-", 1)[0]]


def teachers_of(wildcards):
    """What a student learns from: its teachers' networks, or their logits on stored views."""
    ensemble = wildcards.student.split(".")[0]
    folder = f"{COURSE.format(**wildcards)}/teachers"
    teachers = ENSEMBLES.get(ensemble, [])
    if DISTILLATION["protocol"] == "stored":
        return {"stored": [f"{folder}/{name}/stored_views.npy" for name in teachers]}
    return {
        "weights": [f"{folder}/{name}/weights.safetensors" for name in teachers],
        "networks": [f"{folder}/{name}/network.json" for name in teachers],
    }


def taught_by(wildcards):
    """How a student is taught: what its training depends on, so that no other change of the design repeats it."""
    if wildcards.student in UNTAUGHT:
        return {}
    return {key: DISTILLATION[key] for key in ("alpha", "temperature", "combination", "protocol", "crops")}


def networks_compared(file):
    """A file of every network whose maps are compared: of students without teachers and of teachers, of every seed."""
    names = [f"students/{name}" for name in UNTAUGHT] + [f"teachers/{name}" for name in TEACHERS]
    return collect(f"{COURSE}/{{name}}/{file}", seed=DISTILLATION["seeds"], name=names, allow_missing=True)


# One entry for each set of samples that is audited.
AUDITED = [
    {"dataset": dataset, "samples": samples}
    for dataset, chosen in AUDIT["datasets"].items()
    for samples in chosen["samples"]
]
AUDIT_SPACES = AUDIT["spaces"]
AUDIT_SHARDS = range(AUDIT["shards"])
AUDITED_FEATURES = "results/features/{space}/audit/{dataset}/{samples}/shard-{shard}.npy"
PLANTED = "planted/{dataset}/{split}.npy"
planted_vectors = vectors_of(f"results/{PLANTED}", f"results/features/{{space}}/{PLANTED}")
# Quality is measured on features where there are some: pixels are slow and say less.
QUALITY_SPACE = next((space for space in AUDIT_SPACES if config["spaces"][space]["kind"] != "pixel"), AUDIT_SPACES[0])


def drawn_samples(wildcards):
    """The samples that are drawn from a pipeline of diffusers, if that is what is audited: inputs of packing."""
    if config["samples"][wildcards.samples]["source"] != "diffusers":
        return {}
    return {"images": f"results/audit/{wildcards.dataset}/{wildcards.samples}/drawn.npy"}


def audited_source(wildcards):
    """Samples that were made elsewhere, as a data set like the one that they are compared with."""
    drawn = drawn_samples(wildcards)
    entry = {"source": "npy", **drawn} if drawn else config["samples"][wildcards.samples]
    return packed_like(entry, config["datasets"][wildcards.dataset])


def audited_files(wildcards):
    return drawn_samples(wildcards) or _files_of(audited_source(wildcards))


def pipeline_listing(wildcards):
    """The fingerprint of the folder of the pipeline that made the samples, if one did."""
    return files_below(config["samples"][wildcards.samples]["path"]).fingerprint if drawn_samples(wildcards) else ""


def audited_listing(wildcards):
    return _listings(audited_source(wildcards))


def split_name(wildcards):
    """Which images the generator of the samples was trained on: `whole` set, or a subset."""
    entry = config["samples"][wildcards.samples]
    return "size-{size}.seed-{seed}".format(**entry) if entry["source"] == "generator" else "whole"


def split_files(name):
    """The files that tell training and held-out images of a split apart."""

    def files(wildcards):
        split = name(wildcards)
        labels = {"labels": f"results/data/{wildcards.dataset}/labels.parquet"}
        if split == "whole":
            return labels
        folder = f"results/subsets/{wildcards.dataset}/{split.split('.')[1]}"
        return labels | {"order": f"{folder}/order.npy", "held_out": f"{folder}/held_out.npy"}

    return files


def audited_images(wildcards):
    """The packed samples of an audit."""
    entry = config["samples"][wildcards.samples]
    if entry["source"] != "generator":
        return f"results/audit/{wildcards.dataset}/{wildcards.samples}/images.npy"
    return f"results/samples/{RUN}/images.npy".format(dataset=wildcards.dataset, **entry)


def audited_vectors(wildcards, space):
    """The vectors of a part of the samples of an audit: features of the part, or of packed images all of them."""
    return vectors_of(audited_images(wildcards), AUDITED_FEATURES)(wildcards, space)


def packed_samples(wildcards):
    """How samples that were made elsewhere were packed, or of which classes own ones are."""
    folder = f"results/audit/{wildcards.dataset}/{wildcards.samples}"
    if split_name(wildcards) == "whole":
        return {"packed": f"{folder}/manifest.json", "sample_labels": f"{folder}/labels.parquet"}
    entry = config["samples"][wildcards.samples]
    return {"sample_codes": f"results/samples/{RUN}/labels.npy".format(dataset=wildcards.dataset, **entry)}


def own_generator(wildcards):
    """The files of the generator of the config that made the samples; or the folder of the pipeline that did."""
    if drawn_samples(wildcards):
        return {"pipeline": ancient(local(config["samples"][wildcards.samples]["path"]))}
    entry = config["samples"][wildcards.samples]
    folder = f"results/generators/{RUN}".format(dataset=wildcards.dataset, **entry)
    names = {"weights": "weights.safetensors", "network": "network.json", "discriminator": "discriminator.safetensors"}
    return {part: f"{folder}/{name}" for part, name in names.items()}


def generator_losses(wildcards):
    """What the generator of the samples says of each image, where it is there."""
    if config["samples"][wildcards.samples]["source"] != "generator" and not drawn_samples(wildcards):
        return {}
    return {"losses": f"results/audit/{wildcards.dataset}/{wildcards.samples}/losses.parquet"}


def quality_samples(wildcards):
    """The vectors of all parts of the samples, in the space in which quality is measured."""
    vectors = vectors_of(audited_images(wildcards), AUDITED_FEATURES)
    return list(dict.fromkeys(vectors({**wildcards, "shard": shard}, QUALITY_SPACE) for shard in AUDIT_SHARDS))


# All of them, before the first rule: with object storage Snakemake (9.27.1) takes the constraints of a rule away when
# further ones are set after it, and what two rules could make is ambiguous then.
wildcard_constraints:
    dataset="[a-z0-9][a-z0-9-]*",
    generator="[a-z0-9][a-z0-9-]*",
    space="[a-z0-9+-]+",
    size=r"\d+",
    seed=r"\d+",
    shard=r"\d+",
    samples="[a-z0-9][a-z0-9-]*",
    split=r"whole|size-\d+\.seed-\d+",
    group="all|(alike|unlike|random)-[0-9]+",
    choice="random|classifier-[0-9]+",
    arm="|".join(map(re.escape, SYNTHETIC_ARMS)),
    teacher=f"({'|'.join(['none', 'weak', 'strong', 'stronger', *CHECKPOINTS])})-[0-9]+",
    student="[a-z0-9+-]+\\.(none|weak|strong|stronger)",
