"""Train one student: from an ensemble of teachers, or alone. Rule: train_student."""

from typing import Any

import torch
from torch import Tensor

from workflow_scripts.classifiers.augmentation import View, apply_view, draw_view
from workflow_scripts.classifiers.losses import distillation_loss
from workflow_scripts.classifiers.networks import load_classifier
from workflow_scripts.classifiers.training import Target, to_float
from workflow_scripts.device import prepare_torch
from workflow_scripts.distillation.runs import open_split, train_and_save
from workflow_scripts.files import read_npy
from workflow_scripts.job import run

SMOOTHING = 0.1


def fresh_target(files: Any, images: Tensor, design: dict[str, Any]) -> Target:
    """The published protocol: the teachers look at a fresh view of their own rung, of the same images."""
    device = images.device
    teachers = [load_classifier(*paths, device) for paths in zip(files.weights, files.networks, strict=True)]

    def loss(logits: Tensor, labels: Tensor, indices: Tensor, view: View) -> Tensor:
        outputs = []
        with torch.no_grad():
            for teacher in teachers:
                settings = teacher.settings
                shown = draw_view(settings.augmentation, len(indices), settings.smallest_crop, device)
                if design["crops"] == "shared":
                    shown = shown.with_crop_of(view)
                outputs.append(teacher(apply_view(to_float(images[indices]), shown)))
        return distillation_loss(
            logits, labels, torch.stack(outputs), design["alpha"], design["temperature"], design["combination"]
        )

    return loss


def stored_target(files: Any, device: torch.device, design: dict[str, Any]) -> Target:
    """The teachers' logits on stored views, one at random for each image and teacher."""
    stored = torch.stack([torch.from_numpy(read_npy(path, mmap=False)) for path in files.stored]).to(device)

    def loss(logits: Tensor, labels: Tensor, indices: Tensor, view: View) -> Tensor:
        chosen = torch.randint(stored.shape[1], (len(stored), len(indices)), device=device)
        teachers = stored[torch.arange(len(stored), device=device)[:, None], chosen, indices]
        return distillation_loss(
            logits, labels, teachers, design["alpha"], design["temperature"], design["combination"]
        )

    return loss


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    design, files = snakemake.params.distillation, snakemake.input
    ensemble, view = snakemake.wildcards.student.split(".")
    split = open_split(files, device)
    changes: dict[str, Any] = {"augmentation": view}
    loss = None
    if ensemble == "smoothed":
        changes["label_smoothing"] = SMOOTHING
    elif ensemble != "alone":
        stored = design["protocol"] == "stored"
        loss = stored_target(files, device, design) if stored else fresh_target(files, split.training[0], design)
    taught = files.get("stored") or files.get("weights") or []
    about = {key: design[key] for key in ("alpha", "temperature", "combination", "protocol", "crops")} if loss else {}
    seed = int(snakemake.wildcards.seed)
    train_and_save(snakemake, split, design["student"], changes, seed, loss, [*taught], **about)


run(main, snakemake)
