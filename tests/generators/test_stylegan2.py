"""StyleGAN2's published building blocks against explicit forms; lazy regularisers; resumption; copying eight images."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from tests.generators.patterns import eight_patterns
from workflow_scripts.generators.augmentation import Augmenter
from workflow_scripts.generators.filters import Filter, in_format
from workflow_scripts.generators.model import ImageShape, from_uint8
from workflow_scripts.generators.presets import PRESETS, StyleGAN2Settings
from workflow_scripts.generators.stylegan2 import (
    Discriminator,
    Generator,
    Mapping,
    StyledConv,
    StyleGAN2,
    ToImage,
    demodulations,
    equalise,
    gradient_penalty,
    learning_rate_groups,
    minibatch_std,
    normalise,
    path_lengths,
)
from workflow_scripts.generators.training import train
from workflow_scripts.training.checkpoints import Checkpoints

CPU = torch.device("cpu")
TINY = StyleGAN2Settings(
    steps=10, batch=4, channels=32, widest=6, latent=5, mapping_depth=2, minibatch_std=2, ema_half_life=20.0,
    r1_every=3, path_length_every=2,
)  # fmt: skip
NO_AUGMENTATION = Augmenter("none", 8, 0.6, 500, CPU)


def inputs(generator: Generator, count: int, latent: int = TINY.latent) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    z, labels = torch.randn(count, 2, latent), torch.zeros(count, dtype=torch.int64)
    return z, labels, torch.full((count,), 2), torch.randn(count, sum(generator.noise_sizes))


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 5)])
def test_shapes(resolution: int, channels: int, classes: int) -> None:
    settings, shape = replace(TINY, channels=resolution * 2), ImageShape(resolution, channels, classes)
    generator = Generator(settings, shape)
    images = generator(*inputs(generator, 2))
    assert images.shape == (2, channels, resolution, resolution)
    logits = Discriminator(settings, shape)(images, torch.zeros(2, dtype=torch.int64))
    assert logits.shape == (2,)


def test_the_paper_preset_is_configuration_f() -> None:
    settings, shape = PRESETS["stylegan2"]["paper"], ImageShape(1024, 3)
    sizes = [sum(p.numel() for p in network(settings, shape).parameters()) for network in (Generator, Discriminator)]
    assert sizes == [30_370_060, 29_012_513]  # as the authors' networks for 1024 px


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_is_one_with_each_image_s_own_weights(up: bool) -> None:
    torch.manual_seed(0)
    layer, x, style = StyledConv(4, 6, up, Filter()), torch.randn(3, 4, 8, 8), torch.randn(3, 4)
    nn.init.normal_(layer.bias)
    nn.init.constant_(layer.strength, 0.3)
    size = 16 if up else 8
    noise = torch.randn(3, size * size)
    got = layer(x, style, demodulations([layer], style), noise, layer.parts())
    expected = []
    for image, s, n in zip(x, style, noise, strict=True):
        weight = layer.weight * s[None, :, None, None]
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        if up:
            y = F.conv_transpose2d(image[None], weight.transpose(0, 1), stride=2)
            y = layer.low_pass.blur(y, padding=1, gain=4.0)
        else:
            y = F.conv2d(image[None], weight, padding=1)
        # Bias and noise strength hold the activation's gain.
        y = y + (n.view(size, size) * layer.strength + layer.bias) / math.sqrt(2)
        expected.append(F.leaky_relu(y, 0.2) * math.sqrt(2))
    torch.testing.assert_close(got, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_to_image_is_a_modulated_one_by_one_convolution() -> None:
    torch.manual_seed(0)
    layer, x, style = ToImage(4, 3), torch.randn(2, 4, 8, 8), torch.randn(2, 4)
    nn.init.normal_(layer.bias)
    expected = F.conv2d(x * style[:, :, None, None], layer.weight[:, :, None, None], layer.bias.flatten())
    torch.testing.assert_close(layer(x, style, layer.weight), expected)


def test_the_filter_keeps_constants_and_upsampling_is_the_adjoint_of_downsampling() -> None:
    torch.manual_seed(0)
    low_pass, ones = Filter(), torch.ones(1, 2, 8, 8)
    inside = (..., slice(1, -1), slice(1, -1))  # zeros lie beyond the edges
    for filtered in (low_pass.upsample(ones), low_pass.downsample(ones), low_pass.blur(ones, 1)[inside]):
        torch.testing.assert_close(filtered[inside], torch.ones_like(filtered[inside]))
    small, large = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 16, 16)
    torch.testing.assert_close((low_pass.upsample(small) * large).sum(), 4 * (small * low_pass.downsample(large)).sum())
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[..., 4, 4] = 1
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    torch.testing.assert_close(low_pass.upsample(impulse)[0, 0, 7:11, 7:11], torch.outer(taps, taps))


@pytest.mark.parametrize("name", ["blur", "downsample", "upsample"])
def test_the_filter_s_derivatives_of_both_orders_are_those_of_the_convolution(name: str) -> None:
    torch.manual_seed(0)
    low_pass, x = Filter().double(), torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    work = {"blur": lambda x: low_pass.blur(x, 2), "downsample": low_pass.downsample, "upsample": low_pass.upsample}
    assert torch.autograd.gradcheck(work[name], x)
    assert torch.autograd.gradgradcheck(work[name], x)


def test_tensors_change_their_format_together_and_so_do_their_gradients() -> None:
    tensors = [torch.randn(2, 3, requires_grad=True), torch.randn(4, requires_grad=True)]
    assert in_format([*tensors], torch.float32) == tensors
    first, second = in_format([*tensors], torch.bfloat16)
    (first.sum() + 3 * second.sum()).backward()
    for tensor, cast, gradient in zip(tensors, (first, second), (1.0, 3.0), strict=True):
        torch.testing.assert_close(cast, tensor.bfloat16())
        torch.testing.assert_close(tensor.grad, torch.full_like(tensor, gradient))


def test_minibatch_std_of_groups_within_each_stacked_batch() -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 3, 4, 4)
    got = minibatch_std(x, group=3, batches=2)
    assert torch.equal(got[:, :3], x)
    for start in (0, 6):
        for group in range(2):
            members = [start + group, start + group + 2, start + group + 4]
            expected = (x[members].var(0, correction=0) + 1e-8).sqrt().mean()
            torch.testing.assert_close(got[members, 3], expected.expand(3, 4, 4))
    # Dealt out to two processes, the groups are the same; a group as large as does not divide the batch shrinks.
    torch.testing.assert_close(minibatch_std(x[:8], group=2)[1::2], minibatch_std(x[1:8:2], group=2))
    torch.testing.assert_close(minibatch_std(x[:9], group=4), minibatch_std(x[:9], group=3))


def test_mapping_sees_the_direction_of_z_alone_and_the_condition_as_it_is_weighted() -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(4, TINY.latent), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(normalise(z).square().mean(1), torch.ones(4))
    mapping = Mapping(TINY, 3)
    torch.testing.assert_close(mapping(z, labels), mapping(7 * z, labels))
    assert not torch.allclose(mapping(z, labels), mapping(z, labels.flip(0)))
    mapping.condition_weight.zero_()
    torch.testing.assert_close(mapping(z, labels), mapping(z, labels.flip(0)))


def test_activations_keep_their_size_from_layer_to_layer() -> None:
    torch.manual_seed(0)
    settings, shape = replace(TINY, channels=4096, widest=128, latent=128), ImageShape(32, 3)
    generator, discriminator = Generator(settings, shape), Discriminator(settings, shape)
    sizes: list[float] = []

    def note(_: nn.Module, __: object, output: Tensor) -> None:
        sizes.append(output.square().mean().item())

    for layer in [*generator.convs, *discriminator.blocks]:
        layer.register_forward_hook(note)
    with torch.no_grad():
        generator(*inputs(generator, 8, 128))
        discriminator(torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.int64))
    assert min(sizes) > 0.1  # the filter takes some of the variance of noise; a missing gain would leave 2^-8 of it
    assert max(sizes) < 3


def test_equalised_learning_rate_equals_scaling_at_run_time() -> None:
    torch.manual_seed(0)
    layer, x, y = nn.Linear(6, 4), torch.randn(20, 6), torch.randn(20, 4)
    equalise(layer.weight, 0.05, rate=0.5)
    equalise(layer.bias, 0.2)
    # Karras et al. 2018: weights of size one over the relative rate, multiplied by their scale when used.
    weight = nn.Parameter(layer.weight.detach() / 0.05 / 0.5)
    bias = nn.Parameter(layer.bias.detach() / 0.2)
    plain = torch.optim.Adam(learning_rate_groups(layer, 0.1), 0.1, (0.0, 0.99), 1e-8)
    explicit = torch.optim.Adam([weight, bias], 0.1, (0.0, 0.99), 1e-8)
    for _ in range(20):
        for optimiser, output in (
            (plain, lambda: layer(x)),
            (explicit, lambda: F.linear(x, weight * (0.05 * 0.5), bias * 0.2)),
        ):
            optimiser.zero_grad()
            (output() - y).square().mean().backward()
            optimiser.step()
    torch.testing.assert_close(layer(x), F.linear(x, weight * (0.05 * 0.5), bias * 0.2), rtol=1e-3, atol=1e-4)


def test_style_mixing_gives_the_first_layers_the_first_latent() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY, ImageShape(16, 1))
    z, labels, _, _ = inputs(generator, 1)
    of_first, of_second = (generator.affine(generator.mapping(z[:, i], labels)) for i in (0, 1))
    mixed = generator.mixed_styles(z, labels, torch.tensor([3]))
    parts = [part.split(generator.style_sizes, 1) for part in (mixed, of_first, of_second)]
    # 16 px: five convolutions, then the layers to images of 4, 8 and 16 px at places 1, 3 and 5.
    first = [True, True, True, False, False, True, False, False]
    for got, by_first, by_second, expected in zip(*parts, first, strict=True):
        torch.testing.assert_close(got, by_first if expected else by_second)
    torch.testing.assert_close(generator.mixed_styles(z, labels, torch.tensor([generator.layers])), of_first)


def finite_difference(value, tensor: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences of the scalar `value()` by every entry of `tensor`, in place."""
    flat, result = tensor.detach().flatten().clone(), torch.zeros(tensor.numel(), dtype=tensor.dtype)
    for i in range(len(flat)):
        for sign in (1, -1):
            moved = flat.clone()
            moved[i] += sign * step
            tensor.data.copy_(moved.view_as(tensor))
            result[i] += sign * value().detach() / (2 * step)
    tensor.data.copy_(flat.view_as(tensor))
    return result.view_as(tensor)


def test_gradient_penalty_and_its_own_gradient_against_finite_differences() -> None:
    torch.manual_seed(0)
    network = Discriminator(replace(TINY, channels=16, widest=3), ImageShape(8, 1, 2)).double()
    images, labels = torch.randn(4, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
    penalty = gradient_penalty(network, images, labels, NO_AUGMENTATION)
    slope = finite_difference(lambda: network(images, labels).sum(), images)
    torch.testing.assert_close(penalty, slope.square().sum((1, 2, 3)), rtol=1e-5, atol=1e-12)
    penalty.mean().backward()
    for parameter in (network.from_image.weight, network.blocks[0].second.bias, network.to_logit.weight):
        expected = finite_difference(
            lambda: gradient_penalty(network, images, labels, NO_AUGMENTATION).mean(), parameter
        )
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-9)


def test_path_lengths_against_the_explicit_jacobian() -> None:
    torch.manual_seed(0)
    generator = Generator(replace(TINY, channels=16, widest=3), ImageShape(8, 2)).double()
    w, noise = torch.randn(2, TINY.latent).double(), torch.randn(2, sum(generator.noise_sizes)).double()
    direction = torch.randn(2, 2, 8, 8).double()
    styles = generator.affine(w)
    lengths = path_lengths(generator, styles, noise, direction)
    weight, bias = generator.affine.weight, generator.affine.bias

    for i in range(2):

        def image(ws: Tensor, i: int = i) -> Tensor:  # one w for each layer
            style = (ws[generator.layer_of_style] * weight).sum(1) + bias
            return generator.synthesise(style[None], noise[i : i + 1])[0]

        jacobian = torch.autograd.functional.jacobian(image, w[i].expand(generator.layers, -1))
        by_w = torch.tensordot(direction[i], jacobian, 3)
        torch.testing.assert_close(lengths[i], by_w.square().sum(1).mean().sqrt())

    lengths.square().mean().backward()
    for parameter in (generator.affine.bias, generator.to_image[1].weight):
        expected = finite_difference(
            lambda: path_lengths(generator, generator.affine(w), noise, direction).square().mean(), parameter
        )
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-9)


def test_the_optimisers_allow_for_the_updates_of_the_lazy_regularisers() -> None:
    model = StyleGAN2(TINY, ImageShape(8, 1), CPU)
    for name, share in (("generator", 2 / 3), ("discriminator", 3 / 4)):
        optimiser = model.optimisers[name]
        assert optimiser.defaults["lr"] == pytest.approx(2e-3 * share)
        assert optimiser.defaults["betas"] == (0.0, pytest.approx(0.99**share))
    model = StyleGAN2(replace(TINY, r1_gamma=0.0, path_length=0.0), ImageShape(8, 1), CPU)
    assert {o.defaults["lr"] for o in model.optimisers.values()} == {2e-3}


def test_regularisers_run_on_their_own_steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = StyleGAN2(TINY, ImageShape(8, 1), CPU)
    updates: list[str] = []
    update = model.update
    monkeypatch.setattr(model, "update", lambda name: (updates.append(name[0]), update(name)))
    counts = []
    for _ in range(7):
        updates.clear()
        model.step([(torch.randn(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))])
        counts.append((updates.count("g"), updates.count("d")))
    assert counts == [(2, 2), (1, 1), (2, 1), (1, 2), (2, 1), (1, 1), (2, 2)]
    assert model.path_length > 0


@pytest.fixture(scope="module")
def eight_images() -> Tensor:
    """Eight unlike images of 8 px, uint8 (8, 8, 8, 1)."""
    at = torch.linspace(-1, 1, 8)
    row, column = torch.meshgrid(at, at, indexing="ij")
    shapes = [
        row,
        column,
        row * column,
        row**2 + column**2 - 0.7,
        row + column,
        row.abs() - 0.5,
        0.5 - column.abs(),
        -row,
    ]
    return (torch.stack(shapes).clamp(-1, 1) * 100 + 127.5).to(torch.uint8)[..., None]


def interrupt_at(step: int):
    def on_step(done: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    return on_step


@pytest.mark.parametrize(("killed_after", "augment"), [(1, "ada"), (4, "ada"), (9, "diffaugment")])
def test_resumed_training_gives_the_same_bytes(eight_images, tmp_path: Path, killed_after: int, augment: str) -> None:
    settings = replace(TINY, augment=augment, ada_target=-0.99, ada_images=40, conditional=True, transition=(8, 24))

    def model(seed: int) -> StyleGAN2:
        torch.manual_seed(seed)
        return StyleGAN2(settings, ImageShape(8, 1, 3), CPU)

    labels = torch.arange(8) % 3
    whole = model(0)
    expected = train(whole, eight_images, labels, 3, Checkpoints(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(model(0), eight_images, labels, 3, Checkpoints(tmp_path / "cut", 0.0), interrupt_at(killed_after))
    resumed = model(5)  # a resumed process has other initial weights
    record = train(resumed, eight_images, labels, 3, Checkpoints(tmp_path / "cut"))

    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), f"{name}.{key}"
    assert torch.equal(whole.path_length, resumed.path_length)
    assert record.curve == expected.curve
    assert torch.equal(torch.stack(record.snapshots), torch.stack(expected.snapshots))
    if augment == "ada":
        assert any(row[-1] > 0 for row in record.curve)


def test_the_condition_fades_in_between_two_numbers_of_images() -> None:
    torch.manual_seed(0)
    model = StyleGAN2(replace(TINY, conditional=True, transition=(4, 12)), ImageShape(8, 1, 2), CPU)
    weights = []
    for _ in range(5):
        model.step([(torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]))])
        weights.append(model.networks["ema"].mapping.condition_weight.item())
        assert model.networks["discriminator"].condition_weight == weights[-1]
    assert weights == [0, 0, 0.5, 1, 1]


def test_samples_depend_on_the_seed_alone_and_truncation_narrows_them() -> None:
    torch.manual_seed(0)
    model = StyleGAN2(TINY, ImageShape(16, 1), CPU)
    first = model.sample(9, None, 1)
    assert first.shape == (9, 16, 16, 1)
    assert first.dtype == torch.uint8
    torch.manual_seed(5)
    assert torch.equal(first, model.sample(9, None, 1))
    assert not torch.equal(first, model.sample(9, None, 2))
    model.settings = replace(TINY, truncation=0.0)  # every image has the mean w, and noise has no strength yet
    assert model.sample(64, None, 1).float().std(0).max() == 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_accumulation_and_precision_take_a_step(precision: str) -> None:
    torch.manual_seed(0)
    settings = replace(TINY, conditional=True, accumulate=2, precision=precision, augment="ada")
    model = StyleGAN2(settings, ImageShape(16, 3, 2), CPU)
    before = [p.clone() for p in model.networks["generator"].parameters()]
    batch = torch.rand(4, 3, 16, 16) * 2 - 1, torch.tensor([0, 1, 0, 1])
    assert model.step([batch]).isfinite().all()
    after = list(model.networks["generator"].parameters())
    assert all(p.dtype == torch.float32 for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert model.sample(3, torch.tensor([0, 1, 1]), 0).shape == (3, 16, 16, 3)


def two_steps(rank: int, processes: int, folder: Path) -> None:
    """Take two steps as one of several processes and save the weights."""
    torch.set_num_threads(1)
    if processes > 1:
        dist.init_process_group("gloo", f"file://{folder}/meeting", world_size=processes, rank=rank)
    torch.manual_seed(0)
    settings = replace(TINY, batch=8, augment="ada", ada_target=-0.99, ada_images=64, r1_every=1, path_length_every=1)
    model = StyleGAN2(settings, ImageShape(8, 1), CPU)
    images = torch.randn(8, 1, 8, 8)[rank::processes]
    for step in range(5):
        torch.manual_seed(step)
        model.step([(images, torch.zeros(len(images), dtype=torch.int64))])
    if rank == 0:
        torch.save({**model.state()["networks"]["ema"], "p": model.augment.probability}, folder / f"{processes}.pt")
    if processes > 1:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    two_steps(0, 1, tmp_path)
    torch.multiprocessing.spawn(two_steps, (2, tmp_path), nprocs=2)
    alone, shared = (torch.load(tmp_path / f"{processes}.pt") for processes in (1, 2))
    assert alone["p"] > 0
    for key, value in alone.items():
        torch.testing.assert_close(shared[key], value, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.slow
def test_it_copies_eight_images(tmp_path: Path) -> None:
    images, labels = eight_patterns(), torch.arange(8)
    torch.manual_seed(0)
    settings = StyleGAN2Settings(
        steps=400, batch=16, channels=256, widest=16, latent=8, mapping_depth=2, mapping_rate=1.0, style_mixing=0.0,
        generator_lr=1e-2, discriminator_lr=1e-2, r1_gamma=0.2, path_length=0.0, ema_half_life=300.0, conditional=True,
    )  # fmt: skip
    model = StyleGAN2(settings, ImageShape(8, 1, 8), CPU)
    train(model, images, labels, 0, Checkpoints(tmp_path, 1e9))
    samples = from_uint8(model.sample(256, labels.repeat(32), 0))
    distances = torch.cdist(samples.flatten(1), from_uint8(images).flatten(1)) / (2 * 8)  # root mean square, of 0..1
    # Each sample is to be a copy of its own class's.
    own = distances[torch.arange(256), labels.repeat(32)]
    assert own.median() < 0.1
    assert own.quantile(0.9) < 0.25
