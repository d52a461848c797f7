"""Runs in several processes, compiled, in bfloat16: what they compute is what the plain run computes."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import InputError, Interrupted
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import BigGANSettings, DiffusionSettings, Settings, StyleGAN2Settings
from workflow_scripts.generators.runs import TrainingRun, train_run
from workflow_scripts.training.checkpoints import Checkpoints

CPU = torch.device("cpu")
BIGGAN = BigGANSettings(
    steps=3, batch=8, width=4, depth=1, bottleneck=1, latent=4, attention_at=0, discriminator_steps=2,
    standing_batches=2, ema_half_life=20.0, generator_lr=1e-3, discriminator_lr=1e-3,
)  # fmt: skip
STYLEGAN2 = StyleGAN2Settings(
    steps=3, batch=8, channels=64, widest=8, latent=4, mapping_depth=1, r1_every=2, path_length_every=2,
    minibatch_std=2, style_mixing=0.0,
)  # fmt: skip
DIFFUSION = DiffusionSettings(steps=3, batch=8, widths=(8, 8), layers=1, groups=2, sampling_steps=2)
FAMILIES = {"biggan": BIGGAN, "stylegan2": STYLEGAN2, "diffusion": DIFFUSION}


def of_each_family(quick: str) -> pytest.MarkDecorator:
    """A test of all families; the quick tests hold the one named."""
    marks = {name: () if name == quick else (pytest.mark.slow,) for name in FAMILIES}
    return pytest.mark.parametrize(
        "settings", [pytest.param(settings, id=name, marks=marks[name]) for name, settings in FAMILIES.items()]
    )


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
LABELS = np.zeros(6, dtype=np.int64)


@of_each_family(quick="biggan")
def test_two_processes_equal_one(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, keep="best", evaluations=1)

    def trained(processes: int):
        run = TrainingRun(settings, IMAGES, LABELS, 0, 1, Checkpoints(tmp_path / str(processes)))
        return train_run(run, [CPU] * processes)

    (alone, record), (shared, record_of_two) = trained(1), trained(2)
    for name, network in alone.networks.items():
        for key, value in network.named_parameters():
            torch.testing.assert_close(shared.networks[name].get_parameter(key), value, rtol=1e-3, atol=1e-5, msg=key)
    np.testing.assert_allclose(np.array(record_of_two.curve)[:, 0], np.array(record.curve)[:, 0])
    # What is sampled on the way, too: whole batches in every process.
    shown, shown_by_two = (torch.stack(run.snapshots).float() for run in (record, record_of_two))
    assert (shown - shown_by_two).abs().mean() < 0.5
    np.testing.assert_allclose(record_of_two.evaluations, record.evaluations, rtol=1e-3)


def test_processes_that_are_stopped_say_so_and_leave_a_checkpoint(tmp_path: Path) -> None:
    run = TrainingRun(BIGGAN, IMAGES, LABELS, 0, 1, Checkpoints(tmp_path, stop_at=time.time()))
    with pytest.raises(Interrupted, match="step 1 as its time was up"):
        train_run(run, [CPU] * 2)
    steps, _ = Checkpoints(tmp_path).load()
    assert steps == 1


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path: Path) -> None:
    run = TrainingRun(replace(BIGGAN, accumulate=2), IMAGES, LABELS, 0, 1, Checkpoints(tmp_path))
    with pytest.raises(InputError, match="8 in 2 micro-batches cannot be shared evenly by 3 devices"):
        train_run(run, [CPU] * 3)


@of_each_family(quick="diffusion")
def test_a_compiled_step_in_bfloat16_is_the_plain_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs that torch.compile captures, run as they are; in colour and with classes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    batch = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1, torch.arange(8) % 2
    losses, samples = [], []
    for compiled in (False, True):
        torch.manual_seed(0)
        chosen = replace(settings, compile=compiled, precision="bfloat16", conditional=True)
        model = build_model(chosen, ImageShape(8, 3, 2), CPU)
        torch.manual_seed(1)
        losses.append(model.step([batch] * model.batches_per_step))
        samples.append(model.sample(4, torch.tensor([0, 1, 1, 0]), 0))
        assert {p.dtype for network in model.networks.values() for p in network.parameters()} == {torch.float32}
    assert losses[0].isfinite().all()
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-2, atol=1e-2)
    assert (samples[1].float() - samples[0].float()).abs().mean() < 1
