"""Train one teacher at its rung of the ladder of augmentations. Rule: train_teacher."""

from typing import Any

import numpy as np

from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.core.job import run
from workflow_scripts.distillation.runs import open_split, train_and_save


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    rung, member = snakemake.wildcards.teacher.rsplit("-", 1)
    # A seed of its own for each member; rungs of one member start alike, so that they differ in augmentation alone.
    seed = int(np.random.SeedSequence([int(snakemake.wildcards.seed), int(member)]).generate_state(1)[0] >> 1)
    split = open_split(snakemake.input, device)
    train_and_save(snakemake, split, snakemake.params.classifier, {"augmentation": rung}, seed)


run(main, snakemake)
