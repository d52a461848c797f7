"""The diffusion family: its targets, guidance, sampling, and a resumed training that ends in the same bytes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workflow_scripts.generators.diffusion import Diffusion
from workflow_scripts.generators.families import load_generator, save_generator
from workflow_scripts.generators.model import ImageShape, from_uint8
from workflow_scripts.generators.presets import DiffusionSettings
from workflow_scripts.generators.training import train
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.weights import save_weights

CPU = torch.device("cpu")
TINY = DiffusionSettings(
    steps=8, batch=4, widths=(8, 8), layers=1, sampling_steps=4, warm_up=3, dropout=0.1, ema_half_life=20.0,
    noise_schedule="squaredcos_cap_v2", prediction="v_prediction",
)  # fmt: skip


GREY = ImageShape(8, 1)


def model(shape: ImageShape = GREY, **changes: object) -> Diffusion:
    torch.manual_seed(0)
    return Diffusion(replace(TINY, **changes), shape, CPU)


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 5)])
def test_shapes(resolution: int, channels: int, classes: int) -> None:
    attention = (8,) if resolution == 16 else ()  # of many positions it takes seconds
    made = model(ImageShape(resolution, channels, classes), sampling_steps=1, attention=attention, guidance=2.0)
    batch = torch.randn(1, channels, resolution, resolution), torch.zeros(1, dtype=torch.int64)
    assert made.step([batch]).isfinite().all()
    labels = torch.zeros(2, dtype=torch.int64) if classes else None
    assert made.sample(2, labels, 0).shape == (2, resolution, resolution, channels)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_a_perfect_prediction_gives_the_image_back(prediction: str, schedule: str) -> None:
    """Noising keeps the variance at one, and the trained target inverts it, by the published identities."""
    noising = model(prediction=prediction, noise_schedule=schedule).noising
    torch.manual_seed(1)
    image, noise = torch.randn(64, 1, 8, 8), torch.randn(64, 1, 8, 8)
    level = torch.full((64,), 400)
    noisy = noising.add_noise(image, noise, level)
    assert noisy.var() == pytest.approx(1.0, abs=0.05)
    signal, spread = noising.alphas_cumprod[400].sqrt(), (1 - noising.alphas_cumprod[400]).sqrt()
    torch.testing.assert_close(noisy, signal * image + spread * noise)
    velocity = noising.get_velocity(image, noise, level)
    torch.testing.assert_close(signal * noisy - spread * velocity, image, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver"])
def test_samples_depend_on_the_seed_alone(sampler: str) -> None:
    made = model(sampler=sampler)
    first = made.sample(300, None, 1)
    assert first.shape == (300, 8, 8, 1)
    torch.manual_seed(9)
    assert torch.equal(first, made.sample(300, None, 1))
    assert not torch.equal(first, made.sample(300, None, 2))
    # The first image does not depend on how many are drawn in a batch with it, but for rounding.
    alone = made._denoise(torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(1))[:1], None)
    torch.testing.assert_close(from_uint8(first[:1]), alone.clamp(-1, 1), rtol=0, atol=0.01)


def test_guidance_scales_the_difference_that_the_class_makes() -> None:
    made = model(ImageShape(8, 3, 2))
    network, level = made.networks["ema"], torch.tensor(100)
    torch.manual_seed(0)
    images, labels = torch.randn(3, 3, 8, 8), torch.tensor([0, 1, 1])
    with torch.no_grad():
        known = network(images, level, labels).sample
        unknown = network(images, level, torch.tensor([2, 2, 2])).sample
        for scale, expected in ((1.0, known), (0.0, unknown), (3.0, unknown + 3 * (known - unknown))):
            made.settings = replace(TINY, guidance=scale)
            torch.testing.assert_close(made._guided(network, images, level, labels), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [0, 2])
def test_resumed_training_gives_the_same_bytes_and_a_saved_model_the_same_samples(tmp_path: Path, classes: int) -> None:
    images = torch.randint(0, 256, (6, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 2
    shape = ImageShape(8, 1, classes)
    whole, cut, resumed = (model(shape, accumulate=2) for _ in range(3))
    train(whole, images, labels, 3, Checkpoints(tmp_path / "whole"))

    def interrupt(done: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(cut, images, labels, 3, Checkpoints(tmp_path / "cut", 0.0), interrupt)
    train(resumed, images, labels, 3, Checkpoints(tmp_path / "cut"))
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), f"{name}.{key}"

    files = tmp_path / "weights.safetensors", tmp_path / "network.json"
    save_generator(*files, "diffusion", whole)
    wanted = labels if classes else None
    assert torch.equal(load_generator(*files, CPU).sample(6, wanted, 1), whole.sample(6, wanted, 1))
    none = tmp_path / "discriminator.safetensors"  # as it is written of a family without one
    save_weights(none, torch.nn.Module())
    assert torch.equal(load_generator(*files, CPU, none).sample(6, wanted, 1), whole.sample(6, wanted, 1))


@pytest.mark.slow
def test_it_copies_eight_images(tmp_path: Path) -> None:
    """Eight patterns of blocks: after training, most samples lie near one of them, and all of them are reached."""
    blocks = torch.randint(0, 2, (8, 4, 4), generator=torch.Generator().manual_seed(0)) * 200 + 28
    images = blocks.repeat_interleave(2, 1).repeat_interleave(2, 2)[..., None].to(torch.uint8)
    made = model(
        steps=500, batch=32, widths=(16, 32), learning_rate=5e-3, warm_up=50, dropout=0.0, sampling_steps=20,
        ema_half_life=1000.0,
    )  # fmt: skip
    train(made, images, torch.zeros(8, dtype=torch.int64), 0, Checkpoints(tmp_path))
    samples = made.sample(96, None, 0).float()
    distance = (samples[:, None] - images[None].float()).square().mean((2, 3, 4)).sqrt() / 255
    assert (distance.min(1).values < 0.1).float().mean() > 0.8
    assert len(distance.argmin(1).unique()) == 8


def test_training_images_have_a_lower_loss_than_others() -> None:
    torch.manual_seed(0)
    images = torch.rand(16, 1, 8, 8) * 2 - 1
    made = model(ImageShape(8, 1, 2), steps=80, batch=8, dropout=0.0, warm_up=1, learning_rate=3e-3)
    labels = torch.arange(16) % 2
    before = made.losses(images, labels)
    for _ in range(80):
        made.step([(images[:8], labels[:8])])
    after = made.losses(images, labels)
    ratio = after / before
    assert (ratio[:8].median() < 0.9 * ratio[8:].median()).item()
    torch.testing.assert_close(after[3:5], made.losses(images[3:5], labels[3:5]))  # whatever the batch
