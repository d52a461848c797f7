"""Teachers in every student's loop against teachers that looked once: the students' accuracy, and the time."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from scipy import stats

from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import build_classifier, predict, train_classifier
from workflow_scripts.complexity.dimension import shrink
from workflow_scripts.config import validate
from workflow_scripts.data.sources import open_source
from workflow_scripts.distillation.targets import fresh_target, look_at_views, stored_target
from workflow_scripts.training import Checkpoints

ROOT = Path(__file__).parent.parent
TEACHERS, STUDENTS, SEEDS = 3, 16, 10
VIEWS = (1, 8)  # stored of each image

TEXT = """## Distillation: teachers in the loop, or their logits on stored views

The published protocol runs every teacher on a fresh view in every step of every student; `protocol: stored` runs each
teacher once on a few views of every image. {seeds} students for each row, of the default study's settings ({steps}
steps on {images} images of 16 px, {teachers} teachers at the rung weak, view weak); accuracy on {validation} other
images. Differences are paired by seed, with 95 % intervals (t, {seeds} seeds). The time of {students} students includes
what the teachers need to look at the stored views; training the teachers is left out.

| protocol | accuracy, % | difference, points | s a student | s for {students} students | ratio |
|---|---|---|---|---|---|
{rows}
"""


def measure() -> str:
    study = validate(yaml.safe_load((ROOT / "config.yaml").read_text())).model_dump(mode="json")
    design, name = study["distillation"], study["distillation"]["datasets"][0]
    dataset = study["datasets"][name]
    source = open_source(dataset, ROOT / "resources")
    assert source.block is not None
    images, classes = source.block(0, source.count)
    images = shrink(images.reshape(*images.shape[:3], -1), dataset["resolution"])
    order = np.random.default_rng(0).permutation(len(images))
    training, validation = order[: design["training"]], order[-dataset["held_out"] :]
    shown, labels = torch.from_numpy(images[training]), torch.from_numpy(classes[training].astype(np.int64))

    def train(kind: str, seed: int, loss: Callable | None) -> tuple[Classifier, float]:
        settings = classifier_settings(design[kind]["preset"], design[kind]["overrides"] | {"augmentation": "weak"})
        network = build_classifier(settings, shown, len(source.classes), seed, shown.device)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            train_classifier(network, shown, labels, seed, Checkpoints(Path(folder)), loss=loss)
            return network.eval(), time.perf_counter() - began

    teachers = [train("teacher", 1000 + number, None)[0] for number in range(TEACHERS)]
    targets, looking = {"fresh": fresh_target(teachers, shown, design)}, {"fresh": 0.0}
    for views in VIEWS:
        began = time.perf_counter()
        stored = np.stack([look_at_views(one, shown, views, 0) for one in teachers])
        looking[f"stored, {views}"] = time.perf_counter() - began
        targets[f"stored, {views}"] = stored_target(torch.from_numpy(stored), design)

    accuracy: dict[str, list[float]] = {key: [] for key in targets}
    seconds: dict[str, list[float]] = {key: [] for key in targets}
    for seed in range(SEEDS):
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
            half = stats.t.ppf(0.975, SEEDS - 1) * stats.sem(paired)
            difference = f"{paired.mean():+.2f} ({paired.mean() - half:+.2f} to {paired.mean() + half:+.2f})"
        label = f"{key} view{'' if key.endswith(' 1') else 's'}" if key != "fresh" else "fresh (the published one)"
        rows.append(
            f"| {label} | {np.mean(accuracy[key]):.2f} | {difference} | {np.mean(seconds[key]):.2f} | "
            f"{whole[key]:.1f} | {whole['fresh'] / whole[key]:.2f} |"
        )
    settings = classifier_settings(design["student"]["preset"], design["student"]["overrides"])
    return TEXT.format(
        seeds=SEEDS, steps=settings.steps, images=len(training), teachers=TEACHERS, students=STUDENTS,
        validation=len(validation), rows="\n".join(rows),
    )  # fmt: skip
