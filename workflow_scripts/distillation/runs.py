"""What the scripts that train teachers and students share: their images on the device, and how a run is recorded."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.classifiers.networks import save_classifier
from workflow_scripts.classifiers.presets import LADDER, ClassifierSettings, classifier_settings
from workflow_scripts.classifiers.training import Target, build_classifier, train_classifier
from workflow_scripts.core.files import read_npy, sha256, write_rows
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.training.checkpoints import Checkpoints

COLUMNS = ["step", "loss", "training_accuracy", "accuracy"]


@dataclass(frozen=True)
class Split:
    """Training and validation images uint8 (N, H, W, C) with labels int64 (N,), on the device, and the class names."""

    training: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    classes: list[str]


def open_split(files: Any, device: torch.device) -> Split:
    """The split of a rule's input files images, labels, manifest, training and validation."""
    image_set = open_image_set(files.images, files.labels, files.manifest)
    parts = [
        (
            torch.from_numpy(np.ascontiguousarray(image_set.images[rows])).to(device),
            torch.from_numpy(image_set.labels[rows].astype(np.int64)).to(device),
        )
        for rows in (read_npy(files.training), read_npy(files.validation))
    ]
    return Split(parts[0], parts[1], image_set.manifest["classes"])


def teacher_seed(name: str, seed: int) -> int:
    """The seed of the teacher `rung-number` in a study's seed: of its order of batches and of all initial weights.

    It depends on the whole name. Teachers that shared their head's initial weights would look alike: the loss does not
    move the sum of the head's weights over the classes.
    """
    rung, number = name.rsplit("-", 1)
    return int(np.random.SeedSequence([seed, LADDER.index(rung), int(number)]).generate_state(1)[0] >> 1)


def train_and_save(
    snakemake: Any,
    split: Split,
    classifier: dict[str, Any],
    changes: dict[str, Any],
    seed: int,
    loss: Target | None = None,
    depends_on: Sequence[str] = (),
    **design: Any,
) -> None:
    """Train a classifier of the config on a split, or go on from its newest checkpoint, and write the rule's outputs.

    changes: settings that the study sets, over those of the config. depends_on: files that define the run, beside the
    split's and those of the input `initial`. design: what else does.
    """
    settings: ClassifierSettings = replace(
        classifier_settings(classifier["preset"], classifier["overrides"]), **changes
    )
    files, (images, labels) = snakemake.input, split.training
    network = build_classifier(settings, images, len(split.classes), seed, images.device)
    checkpoints = Checkpoints.of_job(
        snakemake,
        images.device,
        settings=repr(settings),
        seed=seed,
        design=design,
        files=[sha256(path) for path in (files.images, files.training, *files.initial, *depends_on)],
    )
    record = train_classifier(network, images, labels, seed, checkpoints, split.validation, loss=loss)
    output = snakemake.output
    save_classifier(output.weights, output.network, network, classes=split.classes)
    write_rows(output.curve, COLUMNS, record.curve)
    shutil.rmtree(snakemake.params.checkpoints)
