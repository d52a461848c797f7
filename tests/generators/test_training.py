"""The training loop: batch order, seeding, checkpoints, and resumed runs that end in the same bytes."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.core.errors import InputError, Interrupted
from workflow_scripts.generators import diffusion
from workflow_scripts.generators.biggan import BigGAN
from workflow_scripts.generators.evaluation import distance_to_training_set, labels_as_in
from workflow_scripts.generators.families import load_generator, save_generator
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import SNAPSHOTS, BigGANSettings, DiffusionSettings
from workflow_scripts.generators.training import train
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.loop import due
from workflow_scripts.training.order import BatchOrder

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


@pytest.mark.slow
def test_the_best_weights_are_those_of_the_smallest_distance_also_after_a_kill(
    images: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_at, distances = {}, iter([5.0, 3.0, 7.0, 4.0])
    monkeypatch.setattr("workflow_scripts.generators.evaluation.frechet_distance", lambda *_: next(distances))
    model = tiny_model(keep="best", evaluations=4)

    def note(done: int) -> None:
        weights_at[done] = {name: weight.clone() for name, weight in model.networks["ema"].state_dict().items()}

    record = train(model, images, LABELS, 3, Checkpoints(tmp_path / "whole"), on_step=note)
    assert record.evaluations == [[12, 5.0], [24, 3.0], [36, 7.0], [48, 4.0]]
    assert record.images_at_best == 24
    distances = iter([5.0, 3.0])
    cut = Checkpoints(tmp_path / "cut", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(keep="best", evaluations=4), images, LABELS, 3, cut, interrupt_at(8))
    distances = iter([7.0, 4.0])
    again = tiny_model(keep="best", evaluations=4)
    train(again, images, LABELS, 3, Checkpoints(tmp_path / "cut"))
    for kept in (model, again):
        for name, value in kept.networks["ema"].state_dict().items():
            assert torch.equal(value, weights_at[6][name])


def test_the_measured_distance_is_small_for_a_generator_that_copies(images: torch.Tensor) -> None:
    class Copies:
        device, shape = CPU, ImageShape(8, 1)

        def sample(self, count: int, labels: torch.Tensor | None, seed: int) -> torch.Tensor:
            return images[torch.arange(count) % len(images)]

    class Black(Copies):
        def sample(self, count: int, labels: torch.Tensor | None, seed: int) -> torch.Tensor:
            return torch.zeros(count, 8, 8, 1, dtype=torch.uint8)

    copies, black = (distance_to_training_set(images, LABELS, model, 0) for model in (Copies(), Black()))
    assert 10 * copies < black


def test_labels_have_the_classes_of_the_set_in_its_proportions() -> None:
    drawn = labels_as_in(torch.tensor([2, 0, 2, 2, 0, 1]), 60)
    assert drawn.bincount().tolist() == [20, 10, 30]


@pytest.mark.parametrize(("half_life", "effective"), [(20.0, 20.0), (1e6, 40.0)])
def test_averaged_weights_move_half_way_in_a_half_life_of_at_most_a_tenth_of_the_training(
    half_life: float, effective: float
) -> None:
    model = tiny_model(steps=100, ema_half_life=half_life)  # 400 images
    source = tiny_model().networks["generator"]
    before = [p.clone() for p in model.networks["ema"].parameters()]
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    source.get_buffer("condition_weight").fill_(0.25)
    for _ in range(int(effective / 4)):
        model.average_weights(source)
    for old, new in zip(before, model.networks["ema"].parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.5)
        assert not new.requires_grad
    assert model.networks["ema"].get_buffer("condition_weight") == 0.25


def test_accumulated_micro_batches_give_the_step_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same noise for all images; dropout and batch statistics, which look at a micro-batch, are not in it."""
    monkeypatch.setattr(diffusion, "global_rand", lambda count, device: torch.full((count,), 0.4))
    monkeypatch.setattr(diffusion, "global_randn", lambda count, *shape, device: torch.full((count, *shape), 0.5))
    steps = []
    batch = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1, torch.zeros(8).long()
    for accumulate in (1, 4):
        settings = DiffusionSettings(
            steps=1, batch=8, accumulate=accumulate, widths=(8, 8), layers=1, learning_rate=0.1, groups=2
        )
        torch.manual_seed(0)
        model = diffusion.Diffusion(settings, ImageShape(8, 1), CPU)
        model.optimisers = {"network": torch.optim.SGD(model.networks["network"].parameters(), 1.0)}
        loss = model.step([batch])
        steps.append([loss, *model.networks["network"].parameters()])
    for whole, parts in zip(*steps, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-6)


def interrupt_at(step: int):
    def on_step(done: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    return on_step


@pytest.mark.parametrize("killed_after", [1, 11])
def test_resumed_training_gives_the_same_bytes(images: torch.Tensor, tmp_path: Path, killed_after: int) -> None:
    whole = tiny_model()
    expected = train(whole, images, LABELS, 3, Checkpoints(tmp_path / "whole"), snapshot_samples=20)
    assert [len(samples) for samples in expected.snapshots] == [20] * SNAPSHOTS

    cut = Checkpoints(tmp_path / "cut", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(), images, LABELS, 3, cut, interrupt_at(killed_after), snapshot_samples=20)
    torch.manual_seed(99)  # a resumed process has other random state and other initial weights
    resumed = BigGAN(TINY, ImageShape(8, 1), CPU)
    torch.rand(7)
    record = train(resumed, images, LABELS, 3, Checkpoints(tmp_path / "cut"), snapshot_samples=20)

    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), f"{name}.{key}"
    assert record.curve == expected.curve
    assert record.snapshot_images == expected.snapshot_images
    assert torch.equal(torch.stack(record.snapshots), torch.stack(expected.snapshots))


def test_a_torn_checkpoint_is_passed_over(images: torch.Tensor, tmp_path: Path, caplog) -> None:
    checkpoints = Checkpoints(tmp_path, 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(), images, LABELS, 3, checkpoints, interrupt_at(6))
    newest, before = sorted(tmp_path.glob("*.pt"), reverse=True)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    steps, _ = checkpoints.load()
    assert steps == int(before.stem.split("-")[1]) == 5
    assert "damaged" in caplog.text
    newest.write_bytes(b"")
    before.write_bytes(before.read_bytes()[:100])
    assert checkpoints.load() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_at_the_step_in_flight(
    number: signal.Signals, images: torch.Tensor, tmp_path: Path
) -> None:
    before = signal.getsignal(number)

    def on_step(done: int) -> None:
        if done == 4:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match="step 5"):
        train(tiny_model(), images, LABELS, 3, Checkpoints(tmp_path, 1e9), on_step)
    assert Checkpoints(tmp_path).load()[0] == 5
    assert signal.getsignal(number) == before


def test_training_stops_when_its_time_is_up_and_goes_on_from_there(images: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="step 1 as its time was up"):
        train(tiny_model(), images, LABELS, 3, Checkpoints(tmp_path, 1e9, stop_at=time.time()))
    steps: list[int] = []
    train(tiny_model(), images, LABELS, 3, Checkpoints(tmp_path, 1e9, stop_at=time.time() + 1e6), steps.append)
    assert steps[0] == 2


def test_the_earlier_of_two_limits_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = SimpleNamespace(
        config={"training": {"checkpoint_seconds": 5.0, "limit_minutes": 100.0}},
        params=SimpleNamespace(checkpoints=str(tmp_path)),
    )
    monkeypatch.setattr("workflow_scripts.training.checkpoints._STARTED", 1000.0)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    mine = Checkpoints.of_job(job, CPU, seed=0)
    assert (mine.folder.parent, mine.every_s, mine.stop_at) == (tmp_path, 5.0, 1000 + 6000 - 120)
    assert mine.folder == Checkpoints.of_job(job, CPU, seed=0).folder != Checkpoints.of_job(job, CPU, seed=1).folder
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1600")
    assert Checkpoints.of_job(job, CPU, seed=0).stop_at == 1600 - 60
    job.config["training"]["limit_minutes"] = None
    assert Checkpoints.of_job(job, CPU, seed=0).stop_at == 1600 - 60
    monkeypatch.delenv("SLURM_JOB_END_TIME")
    assert Checkpoints.of_job(job, CPU, seed=0).stop_at is None


def test_a_diverged_training_stops_and_says_what_to_change(images: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learning rates"):
        train(tiny_model(generator_lr=float("inf")), images, LABELS, 3, Checkpoints(tmp_path))


def test_a_diverged_state_does_not_replace_a_good_checkpoint(images: torch.Tensor, tmp_path: Path) -> None:
    """The weights go wrong between two rows of the curve: the checkpoint due then is not written."""
    model = tiny_model(steps=1000)

    def on_step(done: int) -> None:
        if done == 5:
            next(model.networks["generator"].parameters()).data[0] = torch.nan

    with pytest.raises(InputError, match="at step 6 a weight is no longer a finite number"):
        train(model, images, LABELS, 3, Checkpoints(tmp_path, 0.0), on_step)
    steps, state = Checkpoints(tmp_path).load()
    assert steps == 5
    assert all(torch.isfinite(weight).all() for weight in state["trainee"]["model"]["networks"]["generator"].values())


def test_a_saved_generator_samples_the_same_images(images: torch.Tensor, tmp_path: Path) -> None:
    model = tiny_model()
    train(model, images, LABELS, 3, Checkpoints(tmp_path / "state"))
    files = tmp_path / "weights.safetensors", tmp_path / "network.json"
    save_generator(*files, "biggan", model)
    assert torch.equal(load_generator(*files, CPU).sample(5, None, 1), model.sample(5, None, 1))
    files[0].write_bytes(files[0].read_bytes()[:-8])
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        load_generator(*files, CPU)
