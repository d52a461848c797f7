"""Train one teacher at its rung of the ladder of augmentations. Rule: train_teacher."""

from typing import Any

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.job import run
from workflow_scripts.distillation.runs import open_split, teacher_seed, train_and_save


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    name = snakemake.wildcards.teacher
    seed, augmentation = teacher_seed(name, int(snakemake.wildcards.seed)), name.rsplit("-", 1)[0]
    split = open_split(snakemake.input, device)
    train_and_save(snakemake, split, snakemake.params.classifier, {"augmentation": augmentation}, seed)


run(main, snakemake)
