"""Test in ten minutes whether a GPU does what Copycat claims of GPUs: `make gpu-check`.

Every claim is tested by running it. Results are printed, and written as gpu_check.md, a table to paste into an issue,
and gpu_check.json. Without a GPU the same runs on the CPU, with small networks; what only a GPU can show is NOT HERE.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from workflow_scripts.containers.check_image import can_compile
from workflow_scripts.core.devices import (
    driver_is_too_old,
    driver_version,
    is_emulated,
    oldest_driver,
    prepare_torch,
    training_kernels,
)
from workflow_scripts.core.errors import Interrupted
from workflow_scripts.core.files import read_json
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import PRESETS, BigGANSettings, DiffusionSettings, Settings, StyleGAN2Settings
from workflow_scripts.generators.runs import TrainingRun, train_run
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.study.installation import ROOT, NotHere, as_locked, same_after_kill, same_in_image
from workflow_scripts.study.operations import Operations
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.graphs import WARM_UP
from workflow_scripts.training.order import INITIAL_WEIGHTS, step_seed

Weights = dict[str, np.ndarray]
TABLE = ROOT / "resources/gpu_memory.json"  # megabytes by what is computed, preset and px; gpu_memory.py counts them
ON_CPU = "stylegan2"  # what takes long is tested on a CPU with this family alone
SMALL_GPU_MB = 8000  # what the presets `small` fit into
TIMED = 32  # steps
COUNTED = 16  # steps: all lazy regularisers at their turn
OPERATIONS = {"biggan": 2500, "stylegan2": 1000, "diffusion": 1500}  # of a step of the preset `small`, at most
SEED = 3
# Of what a training changed: Adam makes more of what rounding does to small gradients. Devices that train each on its
# own part, without the others' gradients, end further apart than they came.
ROUNDING = 0.25

# As small as a family can be, for a CPU.
LEAST: dict[str, Settings] = {
    "biggan": BigGANSettings(
        steps=4, batch=4, width=4, depth=1, bottleneck=1, latent=4, attention_at=8, standing_batches=2
    ),
    "stylegan2": StyleGAN2Settings(
        steps=4, batch=4, channels=32, widest=4, latent=4, mapping_depth=1, r1_every=2, path_length_every=2
    ),
    "diffusion": DiffusionSettings(
        steps=4, batch=4, widths=(4, 8), layers=1, groups=2, attention=(4,), sampling_steps=2
    ),
}  # fmt: skip


@dataclass
class Claim:
    """verdict: PASS, FAIL, or NOT HERE; said: what was seen."""

    claim: str
    verdict: str
    said: str
    seconds: float


@dataclass
class Trial:
    """What the claims are tested on: settings of each family, for images of `shape`, and devices.

    Only the training on two devices uses more than the first. done: weights of the trainings that several claims need.
    """

    devices: list[torch.device]
    settings: dict[str, Settings]
    shape: ImageShape
    done: dict[str, Weights] = field(default_factory=dict)

    @classmethod
    def on(cls, devices: list[torch.device]) -> "Trial":
        if devices[0].type == "cpu":
            return cls(2 * devices, LEAST, ImageShape(8, 1))  # a process is as good as a device
        return cls(devices, {family: presets["small"] for family, presets in PRESETS.items()}, ImageShape(32, 3))

    @property
    def device(self) -> torch.device:
        return self.devices[0]

    def need_gpu(self) -> None:
        if self.device.type != "cuda":
            raise NotHere("there is no GPU")

    def images(self, count: int) -> np.ndarray:
        size = (count, self.shape.resolution, self.shape.resolution, self.shape.channels)
        return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)

    def short(self, family: str) -> Settings:
        """A training in which every kind of step comes so often that it is repeated as a graph."""
        lazy: dict[str, Any] = {"r1_every": 2, "path_length_every": 2} if family == "stylegan2" else {}
        return replace(self.settings[family], steps=min(self.settings[family].steps, 4 * (WARM_UP + 2)), **lazy)

    def trained(self, family: str, stopped: bool = False, graphs: bool = False, devices: int = 1) -> Weights:
        """The weights at the end of a training, or of one that is stopped after its first step and taken up again."""
        settings = self.short(family)
        images, labels = self.images(2 * settings.batch), np.zeros(2 * settings.batch, dtype=np.int64)
        with tempfile.TemporaryDirectory() as folder:
            run = TrainingRun(settings, images, labels, 0, SEED, Checkpoints(Path(folder)), 4, graphs)
            if stopped:
                with suppress(Interrupted):
                    train_run(
                        replace(run, checkpoints=Checkpoints(Path(folder), stop_at=time.time())), self.devices[:1]
                    )
            model, _ = train_run(run, self.devices[:devices])
        return {name: value.cpu().numpy() for name, value in model.networks["ema"].state_dict().items()}

    def initial(self, family: str) -> Weights:
        """The trained ones of the weights, as every training begins with them."""
        torch.manual_seed(step_seed(SEED, INITIAL_WEIGHTS))
        network = build_model(self.settings[family], self.shape, self.device).networks["ema"]
        return {name: value.cpu().numpy() for name, value in network.named_parameters()}

    def plain(self, family: str) -> Weights:
        """The weights of an undisturbed training, which is done once."""
        if family not in self.done:
            self.done[family] = self.trained(family)
        return self.done[family]

    def step_of(self, family: str) -> Callable[[], None]:
        """A step of this family on the device."""
        model = build_model(self.settings[family], self.shape, self.device)
        size = (self.settings[family].batch, self.shape.channels, self.shape.resolution, self.shape.resolution)
        batch = torch.rand(size, device=self.device), torch.zeros(size[0], dtype=torch.int64, device=self.device)

        def step() -> None:
            with training_kernels(True):
                model.step([batch] * model.batches_per_step)

        return step


def device_and_driver(trial: Trial) -> str:
    """The GPU is visible, and its driver is new enough."""
    trial.need_gpu()
    properties, driver = (
        torch.cuda.get_device_properties(trial.device),
        f"{driver_version()} (needed: {oldest_driver()})",
    )
    assert not driver_is_too_old(), driver
    return (
        f"{properties.name}, compute capability {properties.major}.{properties.minor}, "
        f"{properties.total_memory / 1e9:.0f} GB, driver {driver}"
    )


def assert_same(first: Weights, second: Weights) -> str:
    apart = [name for name, values in first.items() if values.tobytes() != second[name].tobytes()]
    assert not apart, f"{len(apart)} of {len(first)} tensors differ, the first is {apart[0]}"
    return f"{len(first)} tensors"


def assert_close(first: Weights, second: Weights, initial: Weights) -> str:
    """Compare two trainings from the same initial weights: the trained weights, up to what rounding becomes in Adam."""
    apart, changed = (
        float(np.sqrt(sum(np.square(first[name] - other[name]).sum() for name in initial)))
        for other in (second, initial)
    )
    said = f"weights differ by {100 * apart / changed:.2g} % of what the training changed"
    assert apart < ROUNDING * changed, said
    return said


def same_twice(family: str, trial: Trial) -> str:
    """Two trainings of {family} end in the same bytes."""
    return assert_same(trial.plain(family), trial.trained(family))


def same_resumed(family: str, trial: Trial) -> str:
    """A training of {family} that is stopped and resumed ends in the same bytes."""
    return assert_same(trial.plain(family), trial.trained(family, stopped=True))


def same_as_graphs(family: str, trial: Trial) -> str:
    """Steps of {family} replayed as CUDA graphs give the same bytes."""
    trial.need_gpu()
    return assert_same(trial.plain(family), trial.trained(family, graphs=True))


def same_on_two(family: str, trial: Trial) -> str:
    """Two devices train {family} as one does, up to rounding."""
    if len(trial.devices) < 2 or (trial.device.type == "cpu" and family != ON_CPU):
        raise NotHere("there are no two GPUs")
    return assert_close(trial.plain(family), trial.trained(family, devices=2), trial.initial(family))


def same_compiled(family: str, trial: Trial) -> str:
    """Compiled steps of {family} train as others do, up to rounding."""
    on_gpu = trial.device.type == "cuda"
    if on_gpu and not can_compile():
        raise NotHere("there is no g++ with the headers of Python")
    if not on_gpu and family != ON_CPU:
        raise NotHere("there is no GPU")
    # A small network: to compile a large one takes minutes. On the CPU the graphs that are captured run as they are.
    small = replace(trial, settings={family: LEAST[family]}, shape=ImageShape(8, 1), done={})
    initial, plain = small.initial(family), small.plain(family)
    small.settings[family] = replace(LEAST[family], compile=True)
    with patch.object(torch, "compile", partial(torch.compile, backend="inductor" if on_gpu else "eager")):
        return assert_close(plain, small.trained(family), initial)


def few_operations(family: str, trial: Trial) -> str:
    """A step of {family} has no more operations than is stated."""
    step, on_gpu = trial.step_of(family), trial.device.type == "cuda"
    steps = COUNTED if on_gpu else 2
    step()
    with torch.autograd.set_multithreading_enabled(False), Operations() as operations:
        for _ in range(steps):
            step()
    count = operations.count / steps
    said = f"{count:.0f} operations, at most {OPERATIONS[family]} stated"
    assert 0 < count <= OPERATIONS[family], said
    return f"{said}; {profiled(step, trial.device, steps)}"


def profiled(step: Callable[[], None], device: torch.device, steps: int) -> str:
    """How many kernels PyTorch's profiler sees in a step, and how long they keep the device busy; on a CPU, calls."""
    on_gpu = device.type == "cuda"
    kind = torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[kind]) as profile:
        seconds = timed(step, device, steps, warm_up=False)
    events = [event for event in profile.events() or [] if not event.cpu_children and not event.is_user_annotation]
    events = [event for event in events if event.name.startswith("aten::") != on_gpu]
    busy = sum(event.time_range.elapsed_us() for event in events) / 1e6
    return (
        f"{len(events) / steps:.0f} {'kernels' if on_gpu else 'calls'} in {1e3 * seconds:.1f} ms, "
        f"of which the {'GPU' if on_gpu else 'CPU'} is busy for {100 * busy / (steps * seconds):.0f} %"
    )


def never_waits(family: str, trial: Trial) -> str:
    """A step of {family} never waits for the GPU."""
    step = trial.step_of(family)
    step()
    if trial.device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            step()
    finally:
        if trial.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    trial.need_gpu()
    return "4 steps under torch.cuda.set_sync_debug_mode('error')"


def memory_as_stated(family: str, trial: Trial) -> str:
    """The preset small of {family} takes no more GPU memory than is stated, and fits 8 GB."""
    stated = read_json(TABLE)[family]["small"]["32"]
    assert stated <= SMALL_GPU_MB, f"{stated} MB stated"
    trial.need_gpu()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(trial.device)
    step = trial.step_of(family)
    for _ in range(3):
        step()
    taken = torch.cuda.max_memory_reserved(trial.device) / 1e6
    assert taken <= stated, f"{taken:.0f} MB taken, {stated} MB stated"
    return f"{taken:.0f} MB reserved, {stated} MB stated, which includes CUDA's own"


def search_as_on_cpu(trial: Trial) -> str:
    """Nearest neighbours are those of the CPU."""
    pixels = trial.images(3000 if trial.device.type == "cuda" else 300).reshape(-1, trial.shape.resolution**2)
    for rows in (pixels, np.random.default_rng(1).normal(size=(len(pixels), 300)).astype(np.float32)):
        here, there = (nearest_neighbours(rows, rows, 5, device=d, exclude_self=True) for d in (trial.device, "cpu"))
        assert np.array_equal(here.indices, there.indices), f"other neighbours of {rows.dtype} rows"
        assert np.array_equal(here.distances, there.distances), f"other distances of {rows.dtype} rows"
    return f"{len(pixels)} rows of uint8 and of float32"


def bfloat16_as_told(trial: Trial) -> str:
    """bfloat16 is faster than float32 unless the log warns of it."""
    size = 4 * trial.shape.resolution**2
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        matrix = torch.ones(size, size, device=trial.device, dtype=kind)
        seconds[kind] = timed(partial(torch.matmul, matrix, matrix), trial.device, 10)
    ratio = seconds[torch.float32] / seconds[torch.bfloat16]
    said = (
        f"{ratio:.1f} times as fast as float32; {'' if is_emulated(torch.bfloat16, trial.device) else 'not '}emulated"
    )
    trial.need_gpu()
    assert (ratio > 1) != is_emulated(torch.bfloat16, trial.device), said
    return said


def throughput(family: str, trial: Trial) -> str:
    """Time of a step of {family} (a measurement, no claim)."""
    step = trial.step_of(family)
    step()
    seconds = timed(step, trial.device, TIMED if trial.device.type == "cuda" else 2)
    return f"{1e3 * seconds:.1f} ms a step, {trial.settings[family].batch / seconds:.0f} images a second"


def timed(work: Callable[[], object], device: torch.device, times: int, warm_up: bool = True) -> float:
    """Mean seconds of the work on the device, after one run to warm up."""
    if warm_up:
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - begun) / times


OF_MACHINE: tuple[Callable[[], str], ...] = (as_locked, same_in_image, same_after_kill)
OF_DEVICE: tuple[Callable[[Trial], str], ...] = (device_and_driver, search_as_on_cpu, bfloat16_as_told)
OF_FAMILY: tuple[Callable[[str, Trial], str], ...] = (
    same_twice, same_resumed, same_as_graphs, same_compiled, never_waits, few_operations, memory_as_stated, same_on_two,
    throughput,
)  # fmt: skip


def check(trial: Trial) -> Iterator[Claim]:
    """Test every claim; an error in one is its verdict and does not stop the others."""
    claims: list[tuple[str, Callable[[], str]]] = [(str(work.__doc__), partial(work, trial)) for work in OF_DEVICE]
    for of_family in OF_FAMILY:
        claims += [
            (str(of_family.__doc__).format(family=name), partial(of_family, name, trial)) for name in trial.settings
        ]
    claims += [(str(of_machine.__doc__), of_machine) for of_machine in OF_MACHINE]
    for claim, attempt in claims:
        begun = time.monotonic()
        try:
            verdict, said = "PASS", attempt()
        except NotHere as cause:
            verdict, said = "NOT HERE", str(cause)
        except Exception as cause:
            verdict, said = "FAIL", f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"
        yield Claim(claim, verdict, said, round(time.monotonic() - begun, 1))


def as_table(machine: str, claims: list[Claim]) -> str:
    """Markdown for an issue."""
    rows = [f"| {c.verdict} | {c.claim} | {c.said.replace('|', '/')} | {c.seconds:.1f} |" for c in claims]
    return (
        "\n".join([f"`make gpu-check` on {machine}:", "", "| | claim | seen | s |", "|---|---|---|---|", *rows]) + "\n"
    )


def main(folder: Path = Path()) -> int:
    """Test all claims, write gpu_check.md and gpu_check.json into the folder; give 1 if any failed, else 0."""
    devices = prepare_torch(threads=1, gpus=2)  # more would wait for each other after each small operation
    trial = Trial.on(devices)
    name = torch.cuda.get_device_name(trial.device) if trial.device.type == "cuda" else "a CPU"
    machine = f"{name}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    claims: list[Claim] = []
    for claim in check(trial):
        claims.append(claim)
        print(f"{claim.verdict:8} {claim.claim} ({claim.said})", flush=True)
    (folder / "gpu_check.md").write_text(as_table(machine, claims))
    record = {"machine": machine, "claims": [asdict(claim) for claim in claims]}
    (folder / "gpu_check.json").write_text(json.dumps(record, indent=1) + "\n")
    failed = sum(claim.verdict == "FAIL" for claim in claims)
    print(f"\n{failed} of {len(claims)} claims failed. gpu_check.md is a table to paste into an issue.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
