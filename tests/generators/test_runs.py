"""Training in several processes equals training in one on the same batches."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from workflow_scripts.generators.presets import BigGANSettings, DiffusionSettings, Settings, StyleGAN2Settings
from workflow_scripts.generators.runs import TrainingRun, train_run
from workflow_scripts.job import Interrupted
from workflow_scripts.training import Checkpoints

BIGGAN = BigGANSettings(
    steps=3, batch=8, width=4, depth=1, bottleneck=1, latent=4, attention_at=0, discriminator_steps=2,
    standing_batches=2, ema_half_life=20.0, generator_lr=1e-3, discriminator_lr=1e-3,
)  # fmt: skip
STYLEGAN2 = StyleGAN2Settings(
    steps=3, batch=8, channels=64, widest=8, latent=4, mapping_depth=1, r1_every=2, path_length_every=2,
    minibatch_std=2, style_mixing=0.0,
)  # fmt: skip
DIFFUSION = DiffusionSettings(steps=3, batch=8, widths=(8, 8), layers=1, groups=2, sampling_steps=2)


@pytest.mark.parametrize("settings", [BIGGAN, STYLEGAN2, DIFFUSION], ids=["biggan", "stylegan2", "diffusion"])
def test_two_processes_equal_one(settings: Settings, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)

    def trained(processes: int):
        labels = np.zeros(6, dtype=np.int64)
        run = TrainingRun(settings, images, labels, 0, 1, Checkpoints(tmp_path / str(processes)))
        return train_run(run, [torch.device("cpu")] * processes)

    (one, curve), (two, curve_of_two) = trained(1), trained(2)
    for name, network in one.networks.items():
        for key, value in network.named_parameters():
            torch.testing.assert_close(two.networks[name].get_parameter(key), value, rtol=1e-3, atol=1e-5, msg=key)
    np.testing.assert_allclose(np.array(curve_of_two.curve)[:, 0], np.array(curve.curve)[:, 0])


def test_what_stops_one_of_several_processes_is_what_the_job_says(tmp_path: Path) -> None:
    images, labels = np.zeros((6, 8, 8, 1), dtype=np.uint8), np.zeros(6, dtype=np.int64)
    run = TrainingRun(BIGGAN, images, labels, 0, 1, Checkpoints(tmp_path, stop_at=time.time()))
    with pytest.raises(Interrupted, match="stopped at step 1 as its time was up, after a checkpoint"):
        train_run(run, [torch.device("cpu")] * 2)
    assert Checkpoints(tmp_path).load(torch.device("cpu"))[0] == 1
