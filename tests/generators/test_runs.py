"""Training in several processes equals training in one on the same batches."""

from pathlib import Path

import numpy as np
import torch

from workflow_scripts.generators.presets import BigGANSettings
from workflow_scripts.generators.runs import TrainingRun, train_run

SETTINGS = BigGANSettings(
    steps=3, batch=8, width=4, depth=1, bottleneck=1, latent=4, attention_at=0, discriminator_steps=2,
    standing_batches=2, ema_half_life=20.0, generator_lr=1e-3, discriminator_lr=1e-3,
)  # fmt: skip


def test_two_processes_equal_one(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)

    def trained(processes: int):
        labels = np.zeros(6, dtype=np.int64)
        run = TrainingRun(SETTINGS, images, labels, 0, 1, tmp_path / str(processes))
        return train_run(run, [torch.device("cpu")] * processes)

    (one, curve), (two, curve_of_two) = trained(1), trained(2)
    for name, network in one.networks.items():
        torch.testing.assert_close(dict(two.networks[name].named_parameters()), dict(network.named_parameters()))
    np.testing.assert_allclose(np.array(curve_of_two.curve)[:, 0], np.array(curve.curve)[:, 0])
