"""How much GPU memory a study's trainings need: `make gpu-memory CONFIG=...`, on any machine and before any job.

This is no resource of the rules: no scheduler hands out a GPU's memory by the megabyte, a job here has its GPU alone,
and to count it takes seconds for each network, which every plan of the study would pay.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.config.spaces import without_joint
from workflow_scripts.core.errors import InputError
from workflow_scripts.features.presets import simclr_settings
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import settings_for
from workflow_scripts.study.costs import configured_study
from workflow_scripts.study.gpu_memory import CLASSES, Settings, needed_mb


@dataclass(frozen=True)
class Training:
    """What rules train: a network by its name in the config, on images of a shape."""

    rules: str
    name: str
    settings: Settings
    shape: ImageShape


def trainings(config: dict[str, Any]) -> Iterator[Training]:
    """Those of a validated config, each once for all data sets of one shape."""
    replication, rebalancing, distillation = (config[part] for part in ("replication", "rebalancing", "distillation"))
    for rule, section in (("train_generator", replication), ("train_class_generator", rebalancing)):
        for shape in _shapes(config, section):
            for name in section["generators"]:
                settings = settings_for(**config["generators"][name])
                classes = CLASSES if settings.conditional else 0
                yield Training(rule, name, settings, ImageShape(shape.resolution, shape.channels, classes))
    used = without_joint(replication["spaces"] + config["audit"]["spaces"], config["spaces"])
    for name in (name for name in used if config["spaces"][name]["kind"] == "simclr"):
        for shape in dict.fromkeys(_shapes(config, replication) + _shapes(config, config["audit"])):
            space = config["spaces"][name]
            yield Training("train_simclr", name, simclr_settings(space["preset"], space["overrides"]), shape)
    for rules, section, role in (
        ("train_baselines, train_arm", rebalancing, "classifier"),
        ("train_teacher", distillation, "teacher"),
        ("train_student", distillation, "student"),
    ):
        for shape in _shapes(config, section):
            network = classifier_settings(section[role]["preset"], section[role]["overrides"])
            yield Training(rules, role, network, shape)


def _shapes(config: dict[str, Any], section: dict[str, Any]) -> list[ImageShape]:
    """The shapes of the images of a section's data sets."""
    sets = [config["datasets"][name] for name in section["datasets"]]
    return list(dict.fromkeys(ImageShape(entry["resolution"], 1 if entry["color"] == "grey" else 3) for entry in sets))


def main() -> None:
    try:
        path, config = configured_study()
    except InputError as error:
        sys.exit(f"make gpu-memory: {error}")
    print(f"GPU memory that the trainings of {path} need, beside the training images:")
    for training in trainings(config):
        size, settings = training.shape.resolution, training.settings
        print(
            f"  {needed_mb(settings, training.shape) / 1e3:5.1f} GB  {training.rules}: {training.name}, {size} px, "
            f"batch {settings.batch}",
            flush=True,
        )


if __name__ == "__main__":
    main()
