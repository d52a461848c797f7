"""A config for a folder of images: what suits the images and this machine, with comments that say why."""

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from workflow_scripts.config.datasets import SOURCES
from workflow_scripts.config.types import NAME
from workflow_scripts.config.validation import validate
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.gpus import machine_devices
from workflow_scripts.data.decoding import is_unit
from workflow_scripts.data.survey import OUTLIERS, bits_in_use
from workflow_scripts.study.inspection import Inspection
from workflow_scripts.study.recognition import INNERMOST

FEWEST = 24  # images of which a study can be made: three training sets, and half as many images held out
FEWEST_OF_A_CLASS = 12  # images, for the studies that train classifiers
FEWEST_TESTED = 3  # of them, that are held out to test classifiers by
ENOUGH_HELD_OUT = 1000  # images, for a threshold that another split would not move much
CALIBRATED = {
    0.01: 500,
    0.05: 40,
}  # fewest held-out images for each share of them: fewer would be a handful that decide
# A law is identified by sizes between one at which most samples are copies and one at which hardly any is: close steps,
# on a CPU of small images, say more than doublings of larger ones (the default study is designed alike).
SIZES = {"tiny": [8, 11, 16, 22, 32, 45, 64], "small": [64, 128, 256, 512, 1024, 2048, 4096]}
FEWEST_SIZES = 3  # of which a law can be told
RESOLUTION = {"tiny": 16, "small": 64}  # px
HELD_OUT = {"tiny": 2000, "small": 5000}
LONG_TAIL = {"tiny": 200, "small": 5000}  # most images of a class
TRAINING = {"tiny": 500, "small": 20_000}  # images that teachers and students see; few enough to overfit


@dataclass(frozen=True)
class Machine:
    """What the choices depend on. gpu: the GPU's name, empty if there is none; memory_gb: of the machine."""

    cores: int
    gpu: str
    memory_gb: float

    @property
    def preset(self) -> str:
        return "small" if self.gpu else "tiny"

    def classifier(self, steps: int) -> str:
        """A classifier's settings; steps: on a CPU."""
        return f"{{preset: {self.preset}{'' if self.gpu else f', overrides: {{steps: {steps}}}'}}}"

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{cores}, {self.memory_gb:.0f} GB of memory, {self.gpu or 'no GPU'}"


def this_machine() -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    gpu = "a GPU" if machine_devices() else ""
    return Machine(len(os.sched_getaffinity(0)), gpu, pages / 1e9)


def config_file(folder: Path, name: str, usage: str) -> Path:
    """`folder`/NAME.yaml. Raises InputError for a name that no data set can have; `usage` ends its message."""
    if not re.fullmatch(NAME, name) or len(name) > 40:
        raise InputError(
            f"NAME: {name!r} given, expected small letters, digits and hyphens (at most 40, no hyphen first). {usage}"
        )
    return folder / f"{name}.yaml"


@dataclass(frozen=True)
class Proposal:
    """A config as text with comments, as validated values, and what it leaves out with the reason."""

    text: str
    config: dict[str, Any]
    left_out: dict[str, str]


def propose(seen: Inspection, name: str, machine: Machine) -> Proposal:
    """The config of a study of the images, under the data set's name. Raises InputError for too few images."""
    if seen.usable < FEWEST:
        first = next((f" ({name}: {reason})" for name, reason in seen.broken.items()), "")
        pages = f"; {seen.frames} of the files hold several pages or frames: save them as files of their own"
        raise InputError(
            f"{seen.root}: {seen.usable} readable images{first}, expected at least {FEWEST} for a study"
            f"{pages if seen.frames else ''}"
        )
    split = _split(seen, machine)
    available = seen.usable - split.held_out - max(seen.groups, default=1) + 1  # rest of the group held out last
    fitting = ([size for size in SIZES[preset] if size <= available] for preset in (machine.preset, "tiny"))
    sizes = next((sizes for sizes in fitting if len(sizes) >= FEWEST_SIZES), None)
    if sizes is None:
        raise InputError(
            f"{seen.root}: {seen.usable} readable images in {len(seen.groups)} groups, by `group_pattern`, which leave "
            f"{available} to train on beside the groups held out, expected at least {SIZES['tiny'][FEWEST_SIZES - 1]}"
        )
    many = len(split.classes) >= 2
    parts = [_head(seen, machine), _dataset(seen, name, split, machine), _generators(machine, many)]
    parts.append(_replication(name, sizes, split.held_out / seen.together))
    left_out = {}
    if many:
        parts += [_rebalancing(seen, name, split, machine), _distillation(name, available, machine)]
    else:
        why = _why_no_classes(seen)
        left_out = {"advice": why, "diagnosis": why}
    if sizes[0] < 40:
        parts.append("complexity:\n  neighbours: [5, 5] # the published 10 to 20 need larger training sets\n")
    text = "\n".join(parts)
    return Proposal(text, validate(yaml.safe_load(text), name), left_out)


@dataclass(frozen=True)
class _Split:
    """How many images are held out, how, and what each class of which enough are there keeps for training."""

    held_out: int
    subsets: str
    classes: dict[str, int]


def _split(seen: Inspection, machine: Machine) -> _Split:
    """Equal numbers of each class if that leaves enough to calibrate by, else in proportion to the classes."""
    most, counts = HELD_OUT[machine.preset], seen.classes
    uneven = math.sqrt(seen.together)  # times what chance does to images of their own, where groups are held out
    held_out = min(most, max(seen.usable // 4, min(seen.usable // 3, ENOUGH_HELD_OUT)))
    if len(counts) < 2:  # all that is trained on are the sizes of the replication study: twice these are plenty
        spare = min(seen.usable // 2, seen.usable - 2 * max(SIZES[machine.preset]))
        return _Split(min(most, max(held_out, spare)), "random", {})
    smallest = min(counts.values())
    equal = min(held_out, len(counts) * (smallest // 3))
    each = -(-equal // len(counts))
    spread = 3 * math.sqrt(each) * uneven if seen.groups else 0  # groups differ in size
    even = {name: int(count - each - spread) for name, count in counts.items()}
    enough = smallest >= FEWEST_OF_A_CLASS and min(even.values()) >= FEWEST_OF_A_CLASS // 2
    if enough and equal >= min(ENOUGH_HELD_OUT, held_out // 2):
        return _Split(equal, "balanced", even)
    share = held_out / seen.usable
    left = {}
    for name, count in counts.items():
        spread = 3 * math.sqrt(count * share * (1 - share)) * uneven  # of what chance holds out of a class
        if count * share - spread / 3 >= FEWEST_TESTED and count * (1 - share) - spread >= FEWEST_OF_A_CLASS / 2:
            left[name] = int(count * (1 - share) - spread)
    return _Split(held_out, "random", left if len(left) >= 2 else {})


def _why_no_classes(seen: Inspection) -> str:
    if not seen.classes:
        folders = "tree" in SOURCES[seen.settings["source"]].model_fields
        why = "they lie in one folder, not in one for each class" if folders else "no labels name one for each image"
        if seen.settings.get("tree") == "flat":
            cases = "group_pattern" in seen.settings
            why = f"their folders {'look like patients or other cases' if cases else 'are numbered or unequally deep'}"
        return f"the images have no classes: {why}"
    if len(seen.classes) == 1:
        return "there is one class only"
    few = min(seen.classes, key=lambda name: seen.classes[name])
    return (
        f"the class {few} has {seen.classes[few]} readable images, at least {FEWEST_OF_A_CLASS} are needed, "
        "and fewer than two classes have enough of them"
    )


def _head(seen: Inspection, machine: Machine) -> str:
    lines = [*seen.lines(), f"chosen for: {machine}"]
    return "\n".join(
        ["# A study of one image set, proposed by `make new`. Every key is described in docs/config.md.", "#"]
        + [f"# {''.join(c if c.isprintable() else '?' for c in line)}" for line in lines]
    ) + "\n"  # fmt: skip


def _dataset(seen: Inspection, name: str, split: _Split, machine: Machine) -> str:
    side = int(np.median(seen.sides.min(axis=1)))
    resolution = max(16, min(RESOLUTION[machine.preset], 2 ** int(math.log2(side))))
    long = np.median(seen.sides.max(axis=1) / seen.sides.min(axis=1)) > 1.5
    held_out = f"{split.held_out} # never trained on; they show how many samples come near an image by chance"
    lines = [
        "datasets:",
        f"  {name}:",
        *(
            f"    {key}: {json.dumps(value, ensure_ascii=False)}{_why(key, value)}"
            for key, value in seen.settings.items()
        ),
        f"    resolution: {resolution} # px, a power of two; the shorter side of half the images has at least {side}"
        + (f"; smaller ones are enlarged to {resolution}" if side < resolution else "")
        + ("" if machine.gpu else f"; a CPU takes four times as long for {2 * resolution}"),
        f"    color: {_colour(seen)}",
        "    fit: pad # borders, as most images are long" if long else "    fit: crop # the central square",
        *_range(seen),
        "    on_bad_image: skip # the broken ones" if seen.broken else "    on_bad_image: stop # all could be read",
        f"    held_out: {held_out}",
        f"    subsets: {split.subsets}"
        + (" # as many images of each class as possible" if split.subsets == "balanced" else ""),
    ]
    if seen.transparent:
        lines.insert(-3, f"    background: {seen.background} # what is seen through transparent parts")
    return "\n".join(lines) + "\n"


def _why(key: str, value: Any) -> str:
    return {
        "group_pattern": " # a patient, or another case, is a folder, and never on both sides of a split; if these "
        "folders are classes, remove this line and `tree`"
        if value == INNERMOST
        else " # a patient, or another case, is what the names begin with, and never on both sides of a split; if each "
        "image stands alone, remove this line",
        "splits": " # put together; or name those to be read, or give one of them as held_out_path",
        "tree": " # the outermost folders are the classes"
        if value == "tops"
        else " # the folders' names are no classes",
        "range": " # the values that become black and white",
    }.get(key, "")


def _colour(seen: Inspection) -> str:
    if not seen.coloured:
        return "grey # as all images are"
    share = seen.coloured / len(seen.sides)
    if share < 0.5:
        return f"grey # {seen.coloured:,} of {len(seen.sides):,} show a colour; rgb would keep it"
    grey = f"; {seen.grey:,} grey files are turned into RGB" if seen.grey else ", which is faster"
    return f"rgb # or grey{grey}"


def _range(seen: Inspection) -> list[str]:
    """The values that become black and white, where the type's own would leave the images dark."""
    kind = "wide" if "wide" in seen.limits else "bytes"
    low, high = seen.limits.get(kind, (0.0, 255.0))
    if kind == "bytes":
        return [] if high - low >= 128 or high <= low else [f"    range: [{low:g}, {high:g}] # all that they use"]
    if high > 0 and is_unit(low, high):
        return []  # floats, as they are to be
    if low >= 0 and 1 < high <= 65_535 and high.is_integer():
        bits = bits_in_use(seen.bits)
        top = 2**bits - 1
        beyond = f"but for at most {100 * OUTLIERS:g} % of the values, which become white; " if high > top else ""
        return [] if top == 65_535 else [f"    range: [0, {top}] # {bits} bits: {beyond}the largest value is {high:g}"]
    return [f"    range: [{low:g}, {high:g}] # the smallest and largest value"]


def _generators(machine: Machine, many: bool) -> str:
    preset = machine.preset
    steps, other = (
        ("", "`tiny` runs on a CPU")
        if machine.gpu
        else (", overrides: {steps: 850, batch: 16, latent: 4, adam_beta1: 0}", "`small` needs a GPU")
    )
    text = f"""\
generators:
  biggan: {{family: biggan, preset: {preset}{steps}}} # {other}
  # stylegan2: {{family: stylegan2, preset: {preset}}} # name it under `replication`, too
  # diffusion: {{family: diffusion, preset: {preset}}}
"""
    if many:
        steps = "" if machine.gpu else "steps: 500, "
        overrides = f"{{{steps}conditional: true}}"
        text += f"  class-gan: {{family: stylegan2, preset: {preset}, overrides: {overrides}}} # knows the classes\n"
    return text


def _replication(name: str, sizes: list[int], held_out: float) -> str:
    calibrated = next((share for share, fewest in CALIBRATED.items() if held_out >= fewest), None)
    spaces = "[pixel] # perceptual needs a calibrated threshold, and more held-out images for that"
    leading = ""
    if calibrated:
        spaces = "[pixel, perceptual] # perceptual finds some of the copies that were mirrored or shifted a little, too"
        leading = f"    - calibrated: {calibrated} # as near as this share of the held-out images comes by chance\n"
    return f"""\
replication: # will a generator copy my images?  snakemake one_shot
  datasets:
    {name}:
      sizes: {sizes} # training sets, each part of the next; copies should fall from many to few among them
  generators: [biggan]
  seeds: [0, 1] # repetitions; more give narrower intervals
  samples: 1024
  spaces: {spaces}
  thresholds: # when a sample counts as a copy; the first one leads
{leading}    - rms: 0.1415 # a fixed distance between pixels (Feng et al. 2021)
"""


def _rebalancing(seen: Inspection, name: str, split: _Split, machine: Machine) -> str:
    most = LONG_TAIL[machine.preset]
    counts = {key: min(count, most) for key, count in split.classes.items()}
    largest, smallest = max(counts.values()), min(counts.values())
    rare = [f"{key} ({count})" for key, count in seen.classes.items() if key not in counts]
    lines = ["similarity: # will synthetic images help my rare classes?  snakemake advice", f"  datasets: [{name}]", ""]
    lines += ["rebalancing:", f"  datasets: [{name}]", "  generators: [class-gan]"]
    if rare:
        named = "".join(c if c.isprintable() else "?" for c in ", ".join(rare[:10]) + ", .." * (len(rare) > 10))
        lines.append(f"  # too rare to be tested, and left out of this study: {named}")
    what = f"the classes as they are, but for those held out, at most {most} images of each"
    if largest < 3 * smallest and rare:  # no long tail is left: one is made, in the order that the classes have
        what = f"of {smallest} or more images of each class a long tail is made, in the order of the classes' sizes"
        ranked = sorted(counts, key=lambda key: -split.classes[key])
        ratio = max(2, min(20, smallest // 4)) ** (-1 / max(len(ranked) - 1, 1))
        counts = {key: max(1, int(smallest * ratio**i)) for i, key in enumerate(ranked)}
        largest, smallest = max(counts.values()), min(counts.values())
    if largest >= 3 * smallest or rare:
        lines += [
            f"  imbalance: # {what}",
            "    profile: counts",
            "    counts:",
            *(f"      {json.dumps(key, ensure_ascii=False)}: {count}" for key, count in counts.items()),
        ]
    else:  # the classes are of about one size: a long tail is made
        lines.append(
            f"  imbalance: {{profile: exponential, largest: {smallest}, ratio: {max(2, min(20, smallest // 4))}}} # a "
            "long tail of classes that are about equally large"
        )
    return (
        "\n".join(
            [
                *lines,
                "  seeds: [0, 1, 2, 3, 4] # pairs: each trains every arm on a set of its own",
                f"  classifier: {machine.classifier(150)}",
            ]
        )
        + "\n"
    )


def _distillation(name: str, available: int, machine: Machine) -> str:
    return f"""\
distillation: # what should a student learn from its teachers?  snakemake diagnosis
  datasets: [{name}]
  training: {min(available, TRAINING[machine.preset])} # images
  ensembles: [[none, none], [strong, strong]] # how its teachers' images are augmented: what lies far apart shows most
  views: [weak] # of the students
  seeds: [0, 1, 2, 3, 4] # the trends need several, the diagnosis uses the first
  teacher: {machine.classifier(300)}
  student: {machine.classifier(300)}
"""
