"""Teachers in every student's loop against teachers that looked once: the students' accuracy, and the time."""

import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from scipy import stats

from benchmarks.bench import Bench
from benchmarks.training import now
from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import build_classifier, predict, train_classifier
from workflow_scripts.config.validation import validate
from workflow_scripts.data.resolution import shrink
from workflow_scripts.data.sources import open_source
from workflow_scripts.distillation.targets import fresh_target, look_at_views, stored_target
from workflow_scripts.training.checkpoints import Checkpoints

ROOT = Path(__file__).parent.parent
TEACHERS, STUDENTS, SEEDS = 3, 16, 10
VIEWS = (1, 8)  # stored of each image
PUBLISHED_STEPS, PUBLISHED_BATCH, SKIPPED = 4, 32, 1

TEXT = """## Distillation: teachers in the loop, or their logits on stored views

The published protocol runs every teacher on a fresh view in every step of every student; `protocol: stored` runs each
teacher once on a few views of every image. {seeds} students for each row, of the default study's settings ({steps}
steps on {images} images of 16 px, {teachers} teachers at the rung weak, view weak); accuracy on {validation} other
images. Differences are paired by seed, with 95 % intervals (t, {seeds} seeds). The time of {students} students includes
what the teachers need to look at the stored views; training the teachers is left out.

{table}

Of three teachers of the student's own size the ratio cannot reach 2: three passes forwards cost what one pass forwards
and backwards does. With the networks of Guo et al. 2024, ResNet-50 as teachers and ResNet-18 as student, at 32 px in
batches of {batch}, one step (median; looking at 8 stored views, 24 passes over the images for all students, is less
than a hundredth of their training):

{published}
"""

TABLE = """| protocol | accuracy, % | difference, points | s a student | s for {students} students | ratio |
|---|---|---|---|---|---|
{rows}"""
PUBLISHED = """| step with teachers in the loop, ms | with stored logits, ms | ratio |
|---|---|---|
| {fresh:.0f} | {stored:.0f} | {ratio:.2f} |"""


def look(teachers: list[Classifier], images: torch.Tensor, views: int) -> np.ndarray:
    return np.stack([look_at_views(teacher, images, views, 0) for teacher in teachers])


def study_table(bench: Bench) -> str:
    seeds = bench.size(SEEDS, 2)
    study = validate(yaml.safe_load((ROOT / "config.yaml").read_text()))
    design, name = study["distillation"], study["distillation"]["datasets"][0]
    dataset = study["datasets"][name]
    source = open_source(dataset)
    assert source.block is not None
    images, classes = source.block(0, source.count)
    images = shrink(images.reshape(*images.shape[:3], -1), dataset["resolution"])
    order = np.random.default_rng(0).permutation(len(images))
    training, validation = order[: design["training"]], order[-dataset["held_out"] :]
    shown = torch.from_numpy(images[training]).to(bench.device)
    labels = torch.from_numpy(classes[training].astype(np.int64)).to(bench.device)

    def train(kind: str, seed: int, loss: Callable | None) -> tuple[Classifier, float]:
        few = {"steps": 3} if bench.small else {}
        settings = classifier_settings(
            design[kind]["preset"], design[kind]["overrides"] | {"augmentation": "weak"} | few
        )
        network = build_classifier(settings, shown, len(source.classes), seed, shown.device)
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder))
            taken = bench.seconds(lambda: train_classifier(network, shown, labels, seed, checkpoints, loss=loss))
        return network.eval(), taken

    teachers = [train("teacher", 1000 + number, None)[0] for number in range(TEACHERS)]
    targets, looking = {"fresh": fresh_target(teachers, shown, design)}, {"fresh": 0.0}
    for views in VIEWS:
        key = f"stored, {views}"
        looking[key], stored = bench.timed(partial(look, teachers, shown, views))
        targets[key] = stored_target(torch.from_numpy(stored).to(bench.device), design)

    accuracy: dict[str, list[float]] = {key: [] for key in targets}
    seconds: dict[str, list[float]] = {key: [] for key in targets}
    for seed in range(seeds):
        for key, loss in targets.items():
            student, taken = train("student", seed, loss)
            predicted = predict(student, images[validation]).argmax(1).numpy()
            accuracy[key].append(100 * float((predicted == classes[validation]).mean()))
            seconds[key].append(taken)

    whole = {key: looking[key] + STUDENTS * float(np.mean(seconds[key])) for key in targets}
    rows = []
    for key in targets:
        difference = "-"
        if key != "fresh":
            paired = np.subtract(accuracy[key], accuracy["fresh"])
            half = stats.t.ppf(0.975, seeds - 1) * stats.sem(paired)
            difference = f"{paired.mean():+.2f} ({paired.mean() - half:+.2f} to {paired.mean() + half:+.2f})"
        label = f"{key} view{'' if key.endswith(' 1') else 's'}" if key != "fresh" else "fresh (the published one)"
        rows.append(
            f"| {label} | {np.mean(accuracy[key]):.2f} | {difference} | {np.mean(seconds[key]):.2f} | "
            f"{whole[key]:.1f} | {whole['fresh'] / whole[key]:.2f} |"
        )
    return TABLE.format(students=STUDENTS, rows="\n".join(rows))


def published_table(bench: Bench) -> str:
    random, device = np.random.default_rng(0), bench.device
    images = torch.from_numpy(random.integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)).to(device)
    labels = torch.arange(256, device=device) % 10
    teacher = classifier_settings("guo2024-teacher", {})
    teachers = [build_classifier(teacher, images, 10, seed, device).eval() for seed in range(TEACHERS)]
    design = {"alpha": 0.5, "temperature": 4.0, "combination": "losses", "crops": "own"}
    stored = torch.from_numpy(random.normal(size=(TEACHERS, 8, 256, 10)).astype(np.float32)).to(device)
    settings = classifier_settings(
        "guo2024-student", {"steps": PUBLISHED_STEPS, "batch": bench.size(PUBLISHED_BATCH, 2)}
    )

    def step(loss: Callable) -> float:
        student, times = build_classifier(settings, images, 10, 0, device), [now(device)]
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder), 1e9)
            train_classifier(
                student, images, labels, 0, checkpoints, loss=loss, on_step=lambda _: times.append(now(device))
            )
        return statistics.median(np.diff(times)[SKIPPED:])

    fresh, kept = step(fresh_target(teachers, images, design)), step(stored_target(stored, design))
    return PUBLISHED.format(fresh=1000 * fresh, stored=1000 * kept, ratio=fresh / kept)


def measure(bench: Bench) -> str:
    study = validate(yaml.safe_load((ROOT / "config.yaml").read_text()))
    design = study["distillation"]
    settings = classifier_settings(design["student"]["preset"], design["student"]["overrides"])
    table, published = (
        result if isinstance(result, str) else result[0]
        for result in (
            bench.attempt("distillation of the default study", lambda: study_table(bench)),
            bench.attempt("distillation with the published networks", lambda: published_table(bench)),
        )
    )
    return TEXT.format(
        seeds=SEEDS, steps=settings.steps, images=design["training"], teachers=TEACHERS, students=STUDENTS,
        validation=study["datasets"][design["datasets"][0]]["held_out"], batch=PUBLISHED_BATCH, table=table,
        published=published,
    )  # fmt: skip
