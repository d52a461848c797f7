"""A config for a folder of images: what suits the images and this machine, with comments that say why."""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from workflow_scripts.config.validation import validate
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.gpus import machine_devices
from workflow_scripts.study.inspection import Inspection

FEWEST = 24  # images of which a study can be made: two training sets, and as many images held out
FEWEST_OF_A_CLASS = 12  # images, for the studies that train classifiers
SIZES = {"tiny": [8, 16, 32, 64], "small": [64, 128, 256, 512, 1024, 2048, 4096]}
HELD_OUT = {"tiny": 2000, "small": 5000}
LONG_TAIL = {"tiny": 200, "small": 5000}  # most images of a class
TRAINING = {"tiny": 1000, "small": 20_000}  # images that teachers and students see


@dataclass(frozen=True)
class Machine:
    """What the choices depend on. gpu: the GPU's name, empty if there is none; memory_gb: of the machine."""

    cores: int
    gpu: str
    memory_gb: float

    @property
    def preset(self) -> str:
        return "small" if self.gpu else "tiny"

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{cores}, {self.memory_gb:.0f} GB of memory, {self.gpu or 'no GPU'}"


def this_machine() -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    gpu = "a GPU" if machine_devices() else ""
    return Machine(len(os.sched_getaffinity(0)), gpu, pages / 1e9)


@dataclass(frozen=True)
class Proposal:
    """A config as text with comments, as validated values, and what it leaves out with the reason."""

    text: str
    config: dict[str, Any]
    left_out: dict[str, str]


def propose(found: Inspection, name: str, machine: Machine) -> Proposal:
    """The config of a study of the folder, under the data set's name. Raises InputError for too few images."""
    if found.usable < FEWEST:
        raise InputError(f"{found.root}: {found.usable} readable images, expected at least {FEWEST} for a study")
    smallest = min(found.classes.values(), default=0)
    many = len(found.classes) >= 2 and smallest >= FEWEST_OF_A_CLASS
    held_out = min(HELD_OUT[machine.preset], found.usable // 4)
    if many:  # the same number of each class, and most of the smallest is left
        held_out = min(held_out, len(found.classes) * (smallest // 3))
    available = found.usable - held_out
    sizes = [size for size in SIZES[machine.preset] if size <= available] or [available // 2, available]
    parts = [_head(found, machine), _dataset(found, name, held_out, many, machine), _generators(machine, many)]
    parts.append(_replication(name, sizes, held_out))
    left_out = {}
    if many:
        parts += [_rebalancing(found, name, held_out, machine), _distillation(name, available, machine)]
    else:
        why = "the images lie in one folder, not in one for each class"
        if found.classes:
            few = min(found.classes, key=lambda one: found.classes[one])
            why = f"the class {few} has {smallest} readable images, at least {FEWEST_OF_A_CLASS} of each are needed"
        if len(found.classes) == 1:
            why = "there is one class only"
        left_out = {"advice": why, "diagnosis": why}
    if sizes[0] < 40:
        parts.append("complexity:\n  neighbours: [5, 5] # the published 10 to 20 need larger training sets\n")
    text = "\n".join(parts)
    return Proposal(text, validate(yaml.safe_load(text), name), left_out)


def _head(found: Inspection, machine: Machine) -> str:
    lines = [*found.lines(), f"chosen for: {machine}"]
    return "\n".join(
        ["# A study of one folder, proposed by `make new`. Every key is described in docs/config.md.", "#"]
        + [f"# {''.join(c if c.isprintable() else '?' for c in line)}" for line in lines]
    ) + "\n"  # fmt: skip


def _dataset(found: Inspection, name: str, held_out: int, many: bool, machine: Machine) -> str:
    side = int(np.median(found.sides.min(axis=1)))
    resolution = max(16, min(64 if machine.gpu else 32, 2 ** int(math.log2(side))))
    long = np.median(found.sides.max(axis=1) / found.sides.min(axis=1)) > 1.5
    if found.grey and found.grey < len(found.sides):
        colour = f"grey # {found.grey:,} files are grey and the others in colour; convert them for rgb"
    elif found.grey or found.grey_content:
        colour = "grey # as all images are"
    else:
        colour = "rgb # or grey, which is faster"
    lines = [
        "datasets:",
        f"  {name}:",
        "    source: imagefolder",
        f"    path: {json.dumps(str(found.root), ensure_ascii=False)}",
        f"    resolution: {resolution} # px, a power of two; the shorter side of half the images has at least {side}",
        f"    color: {colour}",
        "    fit: pad # black borders, as most images are long" if long else "    fit: crop # the central square",
        "    on_bad_image: skip # the broken ones" if found.broken else "    on_bad_image: stop # all could be read",
        f"    held_out: {held_out} # never trained on; they show how many samples come near an image by chance",
        "    subsets: balanced # as many images of each class as possible" if many else "    subsets: random",
    ]
    return "\n".join(lines) + "\n"


def _generators(machine: Machine, many: bool) -> str:
    steps = ", overrides: {steps: 900}" if machine.preset == "tiny" else ""
    lines = [
        "generators:",
        "  biggan: {family: biggan, preset: " + f"{machine.preset}{steps}}} # "
        + ("`small` needs a GPU" if machine.preset == "tiny" else "`tiny` runs on a CPU"),
        f"  # stylegan2: {{family: stylegan2, preset: {machine.preset}}} # name it under `replication`, too",
        f"  # diffusion: {{family: diffusion, preset: {machine.preset}}}",
    ]  # fmt: skip
    if many:
        steps = "steps: 800, " if machine.preset == "tiny" else ""
        lines.append(
            f"  class-gan: {{family: stylegan2, preset: {machine.preset}, overrides: {{{steps}conditional: true}}}} "
            "# knows the classes"
        )
    return "\n".join(lines) + "\n"


def _replication(name: str, sizes: list[int], held_out: int) -> str:
    calibrated = next((share for share in (0.01, 0.05) if held_out >= 2 / share), None)
    lines = [
        "replication: # will a generator copy my images?  snakemake one_shot",
        "  datasets:",
        f"    {name}:",
        f"      sizes: {sizes} # training sets, each part of the next; copies should fall from many to few among them",
        "  generators: [biggan]",
        "  seeds: [0, 1] # repetitions; more give narrower intervals",
        "  samples: 1024",
        "  spaces: [pixel] # simclr beside it finds copies that were shifted or lit anew, too; it trains an encoder",
        "  thresholds: # when a sample counts as a copy; the first one leads",
    ]
    if calibrated:
        lines.append(f"    - calibrated: {calibrated} # as near as this share of the held-out images comes by chance")
    lines.append("    - rms: 0.1415 # a fixed distance between pixels (Feng et al. 2021)")
    return "\n".join(lines) + "\n"


def _rebalancing(found: Inspection, name: str, held_out: int, machine: Machine) -> str:
    each = -(-held_out // len(found.classes))
    left = {one: max(1, count - each) for one, count in found.classes.items()}
    largest, smallest = max(left.values()), min(left.values())
    most = LONG_TAIL[machine.preset]
    lines = [
        "similarity: # will synthetic images help my rare classes?  snakemake advice",
        f"  datasets: [{name}]",
        "",
        "rebalancing:",
        f"  datasets: [{name}]",
        "  generators: [class-gan]",
    ]
    if largest >= 3 * smallest:
        share = min(1.0, most / largest)
        lines += [
            "  imbalance: # the classes as they are, but for those held out"
            + f", at {share:.0%} of their size" * (share < 1),
            "    profile: counts",
            "    counts:",
            *(f"      {json.dumps(one, ensure_ascii=False)}: {max(1, round(share * n))}" for one, n in left.items()),
        ]
    else:  # the classes are of about one size: a long tail is made
        head = min(smallest, most)
        lines.append(
            f"  imbalance: {{profile: exponential, largest: {head}, ratio: {max(2, min(20, head // 4))}}} # a "
            "long tail of classes that are about equally large"
        )
    steps = ", overrides: {steps: 150}" if machine.preset == "tiny" else ""
    lines += [
        "  seeds: [0, 1]",
        f"  classifier: {{preset: {machine.preset}{steps}}}",
    ]
    return "\n".join(lines) + "\n"


def _distillation(name: str, available: int, machine: Machine) -> str:
    steps = ", overrides: {steps: 150}" if machine.preset == "tiny" else ""
    network = f"{{preset: {machine.preset}{steps}}}"
    lines = [
        "distillation: # what should a student learn from its teachers?  snakemake diagnosis",
        f"  datasets: [{name}]",
        f"  training: {min(available, TRAINING[machine.preset])} # images",
        "  ensembles: [[none, none], [weak, weak], [strong, strong]] # augmentation of each ensemble's two teachers",
        "  views: [weak, strong] # of the students",
        "  seeds: [0, 1, 2] # the trends need several, the diagnosis uses the first",
        f"  teacher: {network}",
        f"  student: {network}",
    ]
    return "\n".join(lines) + "\n"
