"""BigGAN's published building blocks against small reference computations."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.generators.patterns import eight_patterns
from workflow_scripts.generators.biggan import (
    BigGAN,
    ConditionalBatchNorm,
    Discriminator,
    DiscriminatorBlock,
    Generator,
    GeneratorBlock,
    SelfAttention,
    orthogonal_gradient,
)
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import PRESETS, BigGANSettings
from workflow_scripts.generators.spectral import Conv2d, Linear, spectral_norm
from workflow_scripts.generators.training import train
from workflow_scripts.training.checkpoints import Checkpoints

CPU = torch.device("cpu")
TINY = BigGANSettings(steps=1, batch=4, width=4, depth=1, bottleneck=1, latent=6, class_embedding=3, attention_at=8)


def test_the_discriminator_s_one_pass_over_both_halves_is_two_passes() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(TINY, ImageShape(16, 3, 5)).eval()  # the spectral norms stand still
    images, fakes, labels = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), torch.arange(4)
    both = discriminator(torch.cat([images, fakes]), torch.cat([labels, labels]))
    apart = torch.cat([discriminator(images, labels), discriminator(fakes, labels)])
    torch.testing.assert_close(both, apart)


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 5)])
def test_shapes(resolution: int, channels: int, classes: int) -> None:
    shape = ImageShape(resolution, channels, classes)
    z, labels = torch.randn(2, TINY.latent), torch.zeros(2, dtype=torch.int64)
    images = Generator(TINY, shape)(z, labels)
    assert images.shape == (2, channels, resolution, resolution)
    assert images.abs().max() <= 1
    assert Discriminator(TINY, shape)(images, labels).shape == (2,)


def test_the_paper_preset_has_its_published_scale() -> None:
    narrow = replace(PRESETS["biggan"]["paper"], width=4)  # the same network with a 32nd of the channels
    generator = Generator(narrow, ImageShape(128, 3, 0))
    blocks = [block for block in generator.blocks if not isinstance(block, SelfAttention)]
    assert len(blocks) == 10  # five doublings from 4 to 128 px, two blocks each
    assert generator.first == (4, 16 * 4)
    assert sum(isinstance(block, SelfAttention) for block in generator.blocks) == 1


def normalised(network: nn.Module) -> nn.Module:
    """The network, ready to compute by itself what it does as a part of a generator or discriminator."""
    spectral_norm(network)()
    return network


@pytest.mark.parametrize("in_training", [True, False])
def test_spectral_norm_divides_by_the_largest_singular_value_and_so_do_its_gradients(in_training: bool) -> None:
    torch.manual_seed(0)
    layers = nn.ModuleList([Conv2d(5, 7, 3), Conv2d(5, 7, 3), Linear(45, 7), Linear(4, 2)])
    for layer in layers:
        nn.init.normal_(layer.weight)  # orthogonal ones have equal singular values
    norm = spectral_norm(layers)
    for _ in range(100):  # each training pass makes one power iteration
        norm()
    norm.train(in_training)()
    for layer in layers:
        expected = layer.weight / torch.linalg.svdvals(layer.weight.flatten(1))[0]
        torch.testing.assert_close(layer.normalised, expected, rtol=1e-4, atol=1e-5)
        weights = torch.randn_like(expected)
        [gradient] = torch.autograd.grad((expected * weights).sum(), layer.weight)
        [computed] = torch.autograd.grad((layer.normalised * weights).sum(), layer.weight, retain_graph=True)
        torch.testing.assert_close(computed, gradient, rtol=1e-3, atol=1e-4)


def test_conditional_batch_norm_is_batch_norm_with_the_condition_s_gain_and_bias() -> None:
    torch.manual_seed(0)
    layer, x, condition = normalised(ConditionalBatchNorm(3, 4)), torch.randn(5, 3, 6, 6), torch.randn(5, 4)
    got = layer(x, condition)
    layer.eval()
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    gain, bias = layer.gain_and_bias(condition)[..., None, None].chunk(2, 1)
    torch.testing.assert_close(got, (x - mean) / (variance + 1e-4).sqrt() * (1 + gain) + bias)


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def halved(x: Tensor) -> Tensor:
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))


@pytest.mark.parametrize("up", [False, True])
def test_the_generator_s_block_is_a_bottleneck_with_a_skip_path_that_drops_channels(up: bool) -> None:
    torch.manual_seed(0)
    block = GeneratorBlock(8, 4, condition=3, bottleneck=2, upsample=up)
    normalised(block.eval())  # statistics of mean 0 and variance 1
    x, condition = torch.randn(2, 8, 4, 4), torch.randn(2, 3)
    resize = doubled if up else nn.Identity()
    h = x
    for number, (norm, layer) in enumerate(zip(block.norms, block.convs, strict=True)):
        gain, bias = norm.gain_and_bias(condition)[..., None, None].chunk(2, 1)
        h = (h / (1 + 1e-4) ** 0.5 * (1 + gain) + bias).clamp(min=0)
        h = F.conv2d(resize(h) if number == 1 else h, layer.normalised, padding="same")
    assert [layer.weight.shape for layer in block.convs] == [(4, 8, 1, 1), (4, 4, 3, 3), (4, 4, 3, 3), (4, 4, 1, 1)]
    torch.testing.assert_close(block(x, condition), h + resize(x[:, :4]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("down", [False, True])
def test_the_discriminator_s_block_is_a_bottleneck_with_new_channels_beside_the_skip_path(down: bool) -> None:
    torch.manual_seed(0)
    block, x = normalised(DiscriminatorBlock(4, 8, bottleneck=2, downsample=down).eval()), torch.randn(2, 4, 4, 4)
    resize = halved if down else nn.Identity()
    h = x
    for number, layer in enumerate(block.convs):
        h = h.clamp(min=0)
        h = F.conv2d(resize(h) if number == 3 else h, layer.normalised, layer.bias, padding="same")
    skip = resize(x)
    skip = torch.cat([skip, F.conv2d(skip, block.grow.normalised, block.grow.bias)], 1)
    torch.testing.assert_close(block(x), h + skip, rtol=1e-4, atol=1e-5)


def test_all_layers_start_orthogonal() -> None:
    torch.manual_seed(0)
    for layer in (Conv2d(5, 3, 3), Linear(6, 4)):
        rows = layer.weight.detach().flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)))


def test_every_block_and_the_discriminator_s_projection_see_the_one_class_embedding() -> None:
    torch.manual_seed(0)
    shape = ImageShape(8, 1, 2)
    generator, discriminator = Generator(TINY, shape).eval(), Discriminator(TINY, shape).eval()
    assert {n.gain_and_bias.in_features for b in generator.blocks if hasattr(b, "norms") for n in b.norms} == {6 + 3}
    z, labels = torch.randn(2, TINY.latent), torch.tensor([0, 1])
    assert not torch.allclose(generator(z, labels), generator(z, labels.flip(0)))
    x = torch.randn(2, 1, 8, 8)
    seen: list[Tensor] = []
    discriminator.to_logit.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    difference = discriminator(x, labels) - discriminator(x, labels.flip(0))
    embedding = discriminator.embedding.normalised
    torch.testing.assert_close(difference, ((embedding[labels] - embedding[labels.flip(0)]) * seen[0]).sum(1))


def test_standing_statistics_are_the_means_over_their_batches() -> None:
    torch.manual_seed(0)
    model = BigGAN(replace(TINY, standing_batches=3), ImageShape(16, 1, 0), CPU)
    last = model.networks["ema"].norm
    batches: list[Tensor] = []
    last.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].clone()))
    model._standing_statistics(torch.zeros(5, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert len(batches) == 3
    torch.testing.assert_close(last.running_mean, torch.stack([x.mean((0, 2, 3)) for x in batches]).mean(0))
    torch.testing.assert_close(last.running_var, torch.stack([x.var((0, 2, 3)) for x in batches]).mean(0))
    assert not last.training


def test_self_attention_starts_closed_and_then_is_softmax_attention() -> None:
    torch.manual_seed(0)
    layer, x = normalised(SelfAttention(8).eval()), torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(layer(x), x)
    nn.init.constant_(layer.gate, 0.5)
    query, key, value = layer.query(x).flatten(2), layer.key(x), layer.value(x)
    key, value = (nn.functional.max_pool2d(part, 2).flatten(2) for part in (key, value))
    weights = torch.einsum("bci,bcj->bij", query, key).softmax(-1)
    attended = torch.einsum("bij,bcj->bci", weights, value).reshape(2, -1, 4, 4)
    torch.testing.assert_close(layer(x), x + 0.5 * layer.out(attended))


def test_orthogonal_gradient_is_that_of_the_published_penalty() -> None:
    torch.manual_seed(0)
    network = nn.Linear(5, 3)
    gram = network.weight @ network.weight.T
    (0.25 * ((gram * (1 - torch.eye(3))) ** 2).sum()).backward()
    expected = network.weight.grad.clone()
    network.weight.grad.zero_()
    network.bias.grad = torch.zeros_like(network.bias)
    orthogonal_gradient(network, 0.5)
    torch.testing.assert_close(network.weight.grad, expected)
    assert not network.bias.grad.any()


def test_samples_depend_on_the_seed_alone_and_truncation_narrows_them() -> None:
    torch.manual_seed(0)
    model = BigGAN(TINY, ImageShape(16, 1, 0), CPU)
    first = model.sample(9, None, 1)
    assert first.shape == (9, 16, 16, 1)
    assert first.dtype == torch.uint8
    torch.manual_seed(5)
    assert torch.equal(first, model.sample(9, None, 1))
    assert not torch.equal(first, model.sample(9, None, 2))
    model.settings = replace(TINY, truncation=0.01)
    assert model.sample(64, None, 1).float().std(0).mean() < 0.2 * first.float().std(0).mean()


def test_accumulation_and_conditioning_take_a_step() -> None:
    torch.manual_seed(0)
    model = BigGAN(replace(TINY, conditional=True, accumulate=2, orthogonal=1e-4), ImageShape(16, 3, 2), CPU)
    before = [p.clone() for p in model.networks["generator"].parameters()]
    batch = torch.rand(4, 3, 16, 16) * 2 - 1, torch.tensor([0, 1, 0, 1])
    assert model.step([batch, batch]).isfinite().all()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.networks["generator"].parameters(), strict=True))
    assert model.sample(3, torch.tensor([0, 1, 1]), 0).shape == (3, 16, 16, 3)


@pytest.mark.slow
def test_it_copies_eight_images(tmp_path: Path) -> None:
    images, labels = eight_patterns(), torch.arange(8)
    torch.manual_seed(0)
    settings = BigGANSettings(
        steps=450, batch=32, width=16, depth=1, bottleneck=2, latent=4, class_embedding=32, attention_at=0,
        generator_lr=3e-3, discriminator_lr=3e-3, discriminator_steps=1, ema_half_life=500.0, conditional=True,
    )  # fmt: skip
    model = BigGAN(settings, ImageShape(8, 1, 8), CPU)
    train(model, images, labels, 0, Checkpoints(tmp_path, 1e9))
    drawn = labels.repeat(32)
    samples = model.sample(256, drawn, 0).float()
    own = (samples - images[drawn].float()).square().mean((1, 2, 3)).sqrt() / 255
    # A GAN may give up a mode, and which one is a matter of
    # rounding; most classes are to be copies of their own image.
    copied = own.view(32, 8).quantile(0.9, dim=0) < 0.2
    assert copied.sum() >= 6


def test_the_condition_fades_in_between_two_numbers_of_images() -> None:
    torch.manual_seed(0)
    model = BigGAN(replace(TINY, conditional=True, transition=(4, 12)), ImageShape(16, 1, 2), CPU)
    weights = []
    for _ in range(5):
        batch = torch.randn(4, 1, 16, 16), torch.tensor([0, 1, 0, 1])
        model.step([batch] * model.batches_per_step)
        weights.append(model.networks["ema"].condition_weight.item())
        assert model.networks["discriminator"].condition_weight == weights[-1]
    assert weights == [0, 0, 0.5, 1, 1]
