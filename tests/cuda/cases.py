"""Trainings on a pretended GPU: fresh and resumed, equal to the CPU's, within budgets of launches and without syncs.

`python -m tests.cuda.run CASE ...` prints a line for each.
"""

import sys
import tempfile
import traceback
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import tests.cuda.pretended as pretended  # before torch

import numpy as np  # isort: skip
import torch  # isort: skip
import pytest  # isort: skip

from workflow_scripts.classifiers.presets import ClassifierSettings, classifier_settings
from workflow_scripts.classifiers.training import ClassifierTraining, build_classifier, train_classifier
from workflow_scripts.core.devices import prepare_torch, training_kernels
from workflow_scripts.distillation.targets import fresh_target, stored_target
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.features.simclr import Encoder, EncoderTraining, train_encoder
from workflow_scripts.generators import evaluation
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import PRESETS, Settings
from workflow_scripts.generators.runs import TrainingRun, train_run
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.metrics.quality import precision_recall
from workflow_scripts.study import gpu_check
from workflow_scripts.study.gpu_check import LEAST
from workflow_scripts.study.live_bytes import LiveBytes
from workflow_scripts.training import graphs as step_graphs
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.order import INITIAL_WEIGHTS, step_seed

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
IMAGES, LABELS = RANDOM.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8), np.arange(24) % 3
FAMILIES: dict[str, Settings] = {family: replace(settings, steps=2, batch=8) for family, settings in LEAST.items()}
FAMILIES["stylegan2"] = replace(FAMILIES["stylegan2"], augment="ada")  # type: ignore[call-arg]
CLASSIFIER = ClassifierSettings(steps=4, batch=8, width=2)
ENCODER = SimCLRSettings(steps=3, batch=8, width=2, projection=4)
ROUNDING = 0.002  # of what a training changed
# Launches of a step with the preset `small`, without or with classes, and of one at a rung of the ladder.
BUDGETS = {"biggan": gpu_check.OPERATIONS["biggan"], "biggan conditional": 2600, "weak": 260, "stronger": 350}
BUDGETS |= {f"{family} conditional": gpu_check.OPERATIONS[family] for family in ("stylegan2", "diffusion")}
# Narrower, a step has the same launches.
NARROW: dict[str, dict[str, Any]] = {
    "biggan": {"width": 8, "latent": 16, "class_embedding": 16},
    "stylegan2": {"channels": 256, "widest": 16, "latent": 16},
    "diffusion": {"widths": (8, 16, 16)},
}


def generator(device: torch.device, family: str) -> dict[str, torch.Tensor]:
    """Trained, and taken up again from its last checkpoint, as after several processes or an interruption."""
    settings = replace(FAMILIES[family], keep="best", evaluations=1, conditional=True)
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(settings, IMAGES, LABELS, 3, 0, Checkpoints(Path(folder)))
        train_run(run, [device])
        model, record = train_run(run, [device])
        torch.stack(record.snapshots).numpy()  # what train_generator.py writes
    return {name: value.detach().cpu() for name, value in model.networks["ema"].named_parameters()}


def processes(device: torch.device, family: str) -> dict[str, torch.Tensor]:
    """Trained by two processes, each with a GPU; on the CPU by one."""
    settings = replace(FAMILIES[family], conditional=True)
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(settings, IMAGES, LABELS, 3, 0, Checkpoints(Path(folder)))
        model, record = train_run(run, [device, device] if device.type == "cuda" else [device])
        torch.stack(record.snapshots).numpy()
    return {name: value.detach().cpu() for name, value in model.networks["ema"].named_parameters()}


def graphs(device: torch.device, family: str) -> dict[str, torch.Tensor]:
    """Steps of every kind repeated as graphs, on a GPU; ADA adapts, and the memory of the weights stays where it is."""
    step_graphs.WARM_UP = 1
    settings = replace(FAMILIES[family], steps=10 if family == "stylegan2" else 4, conditional=True)
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(settings, IMAGES, LABELS, 3, 0, Checkpoints(Path(folder)), graphs=True)
        pretended.TALLY.clear()
        model, _ = train_run(run, [device])
        assert device.type == "cpu" or pretended.TALLY["recorded"] == {"stylegan2": 3}.get(family, 1)
    return {name: value.detach().cpu() for name, value in model.networks["ema"].named_parameters()}


def classifier(device: torch.device, rung: str) -> dict[str, torch.Tensor]:
    settings = replace(CLASSIFIER, augmentation=rung)  # type: ignore[arg-type]
    images, labels = torch.from_numpy(IMAGES).to(device), torch.from_numpy(LABELS).to(device)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            network = build_classifier(settings, images, 3, 0, device)
            record = train_classifier(network, images, labels, 0, Checkpoints(Path(folder)), (images, labels))
            torch.stack([labels.cpu(), *record.predictions]).numpy()  # what train_arm.py writes
    return {name: value.detach().cpu() for name, value in network.named_parameters()}


def simclr(device: torch.device, _: str) -> dict[str, torch.Tensor]:
    images = torch.from_numpy(IMAGES).to(device)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            encoder, _ = train_encoder(images, ENCODER, 0, Checkpoints(Path(folder)))
    return {name: value.detach().cpu() for name, value in encoder.named_parameters()}


def initial(kind: str) -> dict[str, torch.Tensor]:
    """The weights before any training of a family, of a classifier (by its rung) or of the encoder (no name)."""
    torch.manual_seed(step_seed(0, INITIAL_WEIGHTS))
    network: torch.nn.Module
    if kind in FAMILIES:
        network = build_model(replace(FAMILIES[kind], conditional=True), ImageShape(8, 3, 3), CPU).networks["ema"]
    elif kind:
        network = build_classifier(CLASSIFIER, torch.from_numpy(IMAGES), 3, 0, CPU)
    else:
        network = Encoder(ENCODER, 3)
    return {name: value.detach() for name, value in network.named_parameters()}


def apart(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return sum(float((first[name] - second[name]).square().sum()) for name in second) ** 0.5


def undetermined(gpu: torch.device) -> None:
    """A gradient that is not deterministic stops a training, unless it is one of torchvision's networks."""
    for allowed in (True, False):
        image = torch.ones(1, 1, 4, 4).to(gpu).requires_grad_()
        pooled = torch.nn.functional.adaptive_avg_pool2d(image, 2).sum()
        with (
            training_kernels(not allowed),
            nullcontext() if allowed else pytest.raises(RuntimeError, match="deterministic"),
        ):
            pooled.backward()


def checked(gpu: torch.device) -> None:
    """All that `make gpu-check` does on a GPU, with a small network; how fast it is there, nothing pretended says."""
    step_graphs.WARM_UP = gpu_check.WARM_UP = 1
    gpu_check.TIMED = 2
    gpu_check.OF_MACHINE = ()
    # No compiler and no profiler knows this GPU, and there are no two.
    unseen = (gpu_check.same_compiled, gpu_check.few_operations, gpu_check.same_on_two)
    gpu_check.OF_FAMILY = tuple(work for work in gpu_check.OF_FAMILY if work not in unseen)
    claims = list(gpu_check.check(gpu_check.Trial([gpu], {"biggan": LEAST["biggan"]}, ImageShape(8, 1))))
    held = [claim for claim in claims if "bfloat16" not in claim.claim]
    assert {claim.verdict for claim in held} == {"PASS"}, [claim.said for claim in held if claim.verdict != "PASS"]
    assert len(held) == 8


def bounded(gpu: torch.device) -> None:
    """A search takes no more memory than is free, however little that is, and gives what the CPU gives."""
    pixels = RANDOM.integers(0, 256, (400, 192), dtype=np.uint8)
    features = RANDOM.normal(size=(400, 300)).astype(np.float32)
    for free in (2**22, 2**24):
        torch.cuda.mem_get_info = lambda *_, free=free: (free, free)  # type: ignore[misc]
        for rows in (pixels, features):
            pretended.METERS[:] = [meter := LiveBytes()]
            there = nearest_neighbours(rows, rows, 5, device=gpu, exclude_self=True)
            measured = precision_recall(features, features[::2] + 0.1, device=gpu)
            assert 2**18 < meter.peak <= free, f"{meter.peak} bytes taken of {free}"
            pretended.METERS.clear()
            here = nearest_neighbours(rows, rows, 5, exclude_self=True)
            np.testing.assert_array_equal(there.indices, here.indices)
            np.testing.assert_array_equal(there.distances, here.distances)
            assert measured == precision_recall(features, features[::2] + 0.1)


def sampled(gpu: torch.device) -> None:
    """Sampling waits for the GPU once, for the sampler's times, and not at each of its steps."""
    for steps, sampler in product((2, 5), ("ddim", "dpm_solver")):
        settings = replace(FAMILIES["diffusion"], sampling_steps=steps, sampler=sampler)  # type: ignore[call-arg]
        model = build_model(settings, ImageShape(8, 3), gpu)
        pretended.TALLY.clear()
        model.sample(4, None, 0)
        assert pretended.TALLY["syncs"] <= 1, f"{pretended.TALLY['syncs']} syncs in {steps} steps of {sampler}"


def unwaited(gpu: torch.device) -> None:
    """No step waits for the GPU, whatever is trained and with which settings."""
    images, labels = torch.from_numpy(IMAGES).to(gpu), torch.from_numpy(LABELS).to(gpu)
    chosen, shown = torch.arange(8).to(gpu), torch.zeros(8, 3, 8, 8).to(gpu)
    steps = {"simclr": partial(EncoderTraining(Encoder(ENCODER, 3).to(gpu), images).step, 0, [chosen])}
    for family, options in (
        ("biggan", {"accumulate": 2, "transition": (0, 99), "orthogonal": 0.1, "precision": "bfloat16"}),
        ("stylegan2", {"accumulate": 2, "transition": (0, 99), "augment": "ada", "precision": "bfloat16"}),
        ("stylegan2", {"augment": "diffaugment"}),
        ("diffusion", {"accumulate": 2, "warm_up": 3, "prediction": "v_prediction"}),
    ):
        settings = replace(FAMILIES[family], conditional=True, **options)  # type: ignore[arg-type]
        model = build_model(settings, ImageShape(8, 3, 3), gpu)
        steps[f"{family} {options}"] = partial(model.step, [(shown, chosen % 3)] * model.batches_per_step)
    design = {"alpha": 0.5, "temperature": 4.0, "combination": "losses", "crops": "shared"}
    teachers = [build_classifier(replace(CLASSIFIER, augmentation="strong"), images, 3, seed, gpu) for seed in (0, 1)]
    stored = torch.zeros(2, 2, len(IMAGES), 3).to(gpu)
    targets = {"fresh": fresh_target(teachers, images, design), "stored": stored_target(stored, design), "alone": None}
    for (name, target), remedy in zip(targets.items(), ("none", "class-weights", "balanced-softmax"), strict=True):
        student = build_classifier(replace(CLASSIFIER, augmentation="strong"), images, 3, 0, gpu)
        steps[f"student {name}"] = partial(
            ClassifierTraining(student, images, labels, None, remedy, target).step,  # type: ignore[arg-type]
            0, [chosen],
        )  # fmt: skip
    for name, step in steps.items():
        step()
        pretended.TALLY.clear()
        for _ in range(8):  # all lazy regularisers, and the adaptation of the augmentation
            step()
        assert pretended.TALLY["launches"] > 8
        assert not pretended.TALLY["syncs"], f"{name}: {pretended.TALLY['syncs']} syncs in 8 steps"


def tally(step, begin=lambda: None, number: int = 1) -> tuple[float, int]:
    """Launches and syncs of a step, the mean of `number`, after one that fills what is kept.

    begin: gives the kind of a step, where it has one; of each kind one is counted.
    """
    step(begin())
    counts: dict = {}
    kinds = [begin() for _ in range(number)]
    for kind in set(kinds):
        pretended.TALLY.clear()
        step(kind)
        counts[kind] = pretended.TALLY["launches"], pretended.TALLY["syncs"]
    return sum(counts[kind][0] for kind in kinds) / number, sum(counts[kind][1] for kind in kinds)


def budget(device: torch.device, name: str) -> tuple[float, int]:
    family, _, conditional = name.partition(" ")
    if family in PRESETS:
        settings = replace(PRESETS[family]["small"], batch=2, conditional=bool(conditional), **NARROW[family])
        model = build_model(settings, ImageShape(32, 3, 10 if conditional else 0), device)
        batch = torch.zeros(2, 3, 32, 32).to(device), torch.zeros(2, dtype=torch.int64).to(device)
        batches = [batch] * model.batches_per_step
        return tally(lambda kind: model.compute(batches, kind), model.begin, 16)  # all lazy regularisers at their turn
    rung = replace(classifier_settings("small", {}), batch=64, width=4, augmentation=name)  # type: ignore[arg-type]
    images, labels = torch.from_numpy(IMAGES).to(device), torch.from_numpy(LABELS).to(device)
    training = ClassifierTraining(build_classifier(rung, images, 3, 0, device), images, labels, None, "none", None)
    chosen = (torch.arange(64) % 24).to(device)
    return tally(lambda _: training.step(0, [chosen]))


CASES = {f"generator {family}": (generator, family) for family in FAMILIES}
CASES |= {f"processes {family}": (processes, family) for family in ("biggan", "stylegan2")}
CASES |= {f"graphs {family}": (graphs, family) for family in FAMILIES}
CASES |= {f"classifier {rung}": (classifier, rung) for rung in ("weak", "stronger")} | {"simclr": (simclr, "")}

CHECKS = {
    "undetermined": undetermined, "checked": checked, "bounded": bounded, "sampled": sampled, "unwaited": unwaited,
}  # fmt: skip


def main() -> None:
    evaluation.EVALUATED = 16
    [gpu] = prepare_torch(1)
    assert gpu.type == "cuda"
    for name in sys.argv[1:]:
        try:
            if name in CHECKS:
                CHECKS[name](gpu)
                print(name, "ok", flush=True)
                continue
            if name.startswith("budget "):
                kind = name.removeprefix("budget ")
                launches, syncs = budget(gpu, kind)
                assert launches <= BUDGETS[kind], f"{launches:.0f} launches, at most {BUDGETS[kind]} expected"
                assert not syncs, f"{syncs} syncs"
                print(name, "ok", round(launches), flush=True)
                continue
            work, kind = CASES[name]
            on_gpu, on_cpu = (work(device, kind) for device in (gpu, CPU))
            share = apart(on_gpu, on_cpu) / apart(on_cpu, initial(kind))
            assert share < ROUNDING, f"{100 * share:.2g} % of what the training changed apart"
            print(name, "ok", flush=True)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = (str(error).splitlines() or [""])[0]
            print(
                name, "FAILED", type(error).__name__, words, f"{Path(where.filename).name}:{where.lineno}", flush=True
            )
