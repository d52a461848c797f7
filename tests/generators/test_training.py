"""The training loop: batch order, seeding, checkpoints, and resumed runs that end in the same bytes."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.files import InputError
from workflow_scripts.generators.biggan import BigGAN
from workflow_scripts.generators.families import load_generator, save_generator
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import BigGANSettings
from workflow_scripts.generators.training import train
from workflow_scripts.training import BatchOrder, Checkpoints, Interrupted, due

CPU = torch.device("cpu")
TINY = BigGANSettings(
    steps=12, batch=4, width=4, depth=1, bottleneck=1, latent=4, attention_at=0, discriminator_steps=2,
    standing_batches=2, ema_half_life=20.0,
)  # fmt: skip


def tiny_model(**changes: object) -> BigGAN:
    torch.manual_seed(0)
    return BigGAN(BigGANSettings(**{**vars(TINY), **changes}), ImageShape(8, 1), CPU)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


LABELS = torch.zeros(6, dtype=torch.int64)


@given(count=st.integers(1, 40), batch=st.integers(1, 40), seed=st.integers(0, 5))
def test_every_epoch_holds_every_image_once(count: int, batch: int, seed: int) -> None:
    order = BatchOrder(count, batch, seed)
    seen = np.concatenate([order.indices(i) for i in range(3 * count // batch + 1)])
    for epoch in range(len(seen) // count):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(total=st.integers(1, 500), times=st.integers(1, 120))
def test_what_is_due_happens_at_even_intervals_and_at_the_end(total: int, times: int) -> None:
    moments = [done for done in range(1, total + 1) if due(done, total, times)]
    assert len(moments) == min(total, times)
    assert moments[-1] == total
    assert max(np.diff([0, *moments])) - min(np.diff([0, *moments])) <= 1


def test_a_batch_depends_on_its_number_alone() -> None:
    order = BatchOrder(10, 4, seed=1)
    later_first = order.indices(7)
    assert all(len(order.indices(i)) == 4 for i in range(7))
    np.testing.assert_array_equal(later_first, BatchOrder(10, 4, seed=1).indices(7))


def interrupt_at(step: int):
    def on_step(done: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    return on_step


@pytest.mark.parametrize("killed_after", [1, 5, 11])
def test_resumed_training_gives_the_same_bytes(images: torch.Tensor, tmp_path: Path, killed_after: int) -> None:
    whole = tiny_model()
    expected = train(whole, images, LABELS, 3, Checkpoints(tmp_path / "whole"))

    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(), images, LABELS, 3, Checkpoints(tmp_path / "cut"), 0.0, interrupt_at(killed_after))
    torch.manual_seed(99)  # a resumed process has other random state and other initial weights
    resumed = BigGAN(TINY, ImageShape(8, 1), CPU)
    torch.rand(7)
    record = train(resumed, images, LABELS, 3, Checkpoints(tmp_path / "cut"))

    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), f"{name}.{key}"
    assert record.curve == expected.curve
    assert record.snapshot_images == expected.snapshot_images
    assert torch.equal(torch.stack(record.snapshots), torch.stack(expected.snapshots))


def test_a_torn_checkpoint_is_passed_over(images: torch.Tensor, tmp_path: Path, caplog) -> None:
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(), images, LABELS, 3, checkpoints, 0.0, interrupt_at(6))
    newest, before = sorted(tmp_path.glob("*.pt"), reverse=True)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    steps, _ = checkpoints.load(CPU)
    assert steps == int(before.stem.split("-")[1]) == 5
    assert "damaged" in caplog.text
    newest.write_bytes(b"")
    before.write_bytes(before.read_bytes()[:100])
    assert checkpoints.load(CPU) is None


def test_sigterm_leaves_a_checkpoint_at_the_step_in_flight(images: torch.Tensor, tmp_path: Path) -> None:
    def on_step(done: int) -> None:
        if done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="step 5"):
        train(tiny_model(), images, LABELS, 3, Checkpoints(tmp_path), 1e9, on_step)
    assert Checkpoints(tmp_path).load(CPU)[0] == 5
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_diverged_training_stops_and_says_what_to_change(images: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learning rates"):
        train(tiny_model(generator_lr=float("inf")), images, LABELS, 3, Checkpoints(tmp_path))


def test_a_saved_generator_samples_the_same_images(images: torch.Tensor, tmp_path: Path) -> None:
    model = tiny_model()
    train(model, images, LABELS, 3, Checkpoints(tmp_path / "state"))
    files = tmp_path / "weights.safetensors", tmp_path / "network.json"
    save_generator(*files, "biggan", model)
    assert torch.equal(load_generator(*files, CPU).sample(5, None, 1), model.sample(5, None, 1))
    files[0].write_bytes(files[0].read_bytes()[:-8])
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        load_generator(*files, CPU)
