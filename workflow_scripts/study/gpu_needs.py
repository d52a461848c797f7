"""How much GPU memory each GPU rule of a study needs: `make gpu-memory CONFIG=...`, on any machine and before any job.

This is no resource of the rules: no scheduler hands out a GPU's memory by the megabyte, a job here has its GPU alone,
and to count it takes seconds for each network, which every plan of the study would pay.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from workflow_scripts.classifiers.presets import ClassifierSettings, classifier_settings
from workflow_scripts.config.spaces import without_joint
from workflow_scripts.core.errors import InputError
from workflow_scripts.features.encoders import ClassifierFeatures
from workflow_scripts.features.presets import simclr_settings
from workflow_scripts.features.pretrained import SSCD, PretrainedEncoder
from workflow_scripts.features.simclr import Encoder
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.pipelines import SAMPLED_AT_ONCE as DRAWN_AT_ONCE
from workflow_scripts.generators.presets import SAMPLED_AT_ONCE, settings_for
from workflow_scripts.study import gpu_work
from workflow_scripts.study.costs import configured_study
from workflow_scripts.study.gpu_memory import needed_mb
from workflow_scripts.study.gpu_work import CLASSES, Work

# Rules that search neighbours, or count pairs: as many at a time as half of the free memory holds. Where that is too
# little for a measure of quality, this measure is computed on the CPU.
AS_MUCH_AS_IS_FREE = (
    "estimate_dimension", "estimate_curve", "search_shard", "search_control_shard", "compare_samples",
    "find_near_duplicates", "find_control_neighbours", "measure_synthetic", "measure_audit",
)  # fmt: skip
LITTLE = ("measure_students",)  # less than 1 GB at any resolution


@dataclass(frozen=True)
class Need:
    """What rules compute: `name`, of the config, on images of a shape."""

    rules: str
    name: str
    work: Work
    shape: ImageShape


def needs(config: dict[str, Any]) -> Iterator[Need]:
    """Those of a validated config, each once for all data sets of one shape."""
    replication, rebalancing, distillation = (config[part] for part in ("replication", "rebalancing", "distillation"))
    for train, draw, section in (
        ("train_generator", "draw_samples", replication),
        ("train_class_generator", "draw_candidates", rebalancing),
    ):
        for shape in _shapes(config, section):
            for name in section["generators"]:
                settings = settings_for(**config["generators"][name])
                known = ImageShape(shape.resolution, shape.channels, CLASSES if settings.conditional else 0)
                yield Need(train, name, gpu_work.generator_training(settings), known)
                yield Need(draw, name, gpu_work.sampling(settings), known)
    yield from _of_spaces(config)
    yield from _of_audit(config)
    for rules, section in (("measure_similarity", config["similarity"]), ("choose_groups", rebalancing)):
        for shape in _shapes(config, section):
            resolution = min(shape.resolution, config["similarity"]["resolution"])
            yield Need(rules, "SSIM", gpu_work.similarity(), ImageShape(resolution, shape.channels))
    for shape in _shapes(config, rebalancing):
        network = classifier_settings(**_chosen(rebalancing["classifier"]))
        yield Need("train_baselines, train_arm", "classifier", gpu_work.classifier_training_of(network), shape)
        yield Need("select_images", "classifier", gpu_work.prediction(network), shape)
    for shape in _shapes(config, distillation):
        yield from _of_distillation(distillation, shape)


def _of_spaces(config: dict[str, Any]) -> Iterator[Need]:
    extraction = {
        "replication": "extract_features, extract_feature_shard, extract_sample_features, extract_snapshot_features",
        "audit": "extract_features, extract_planted_features, extract_audited_features",
    }
    trained = set()
    for section, rules in extraction.items():
        used = without_joint(config[section]["spaces"], config["spaces"])
        for name in (name for name in dict.fromkeys(used) if config["spaces"][name]["kind"] != "pixel"):
            space = config["spaces"][name]
            for shape in _shapes(config, config[section]):
                if space["kind"] == "simclr" and (name, shape) not in trained:
                    trained.add((name, shape))
                    settings = simclr_settings(space["preset"], space["overrides"])
                    yield Need("train_simclr", name, gpu_work.simclr_training(settings), shape)
                yield Need(rules, name, _encoding(space), shape)


def _encoding(space: dict[str, Any]) -> Work:
    """The work of a space's encoder. Its weights do not matter, and are not read."""
    if space["kind"] == "simclr":
        settings = simclr_settings(space["preset"], space["overrides"])
        return gpu_work.encoding(lambda shape: Encoder(settings, shape.channels))
    if space["kind"] == "perceptual":
        return gpu_work.perceptual_encoding(space["resolution"])
    return gpu_work.encoding(lambda _: _pretrained(space))


def _pretrained(space: dict[str, Any]) -> nn.Module:
    anything = (0.5, 0.5, 0.5)  # in place of a mean and a deviation
    if space["kind"] == "timm":
        import timm  # seconds to import, and not always installed

        network = timm.create_model(space["model"], pretrained=False, num_classes=0)
        side = timm.data.resolve_model_data_config(network)["input_size"][-1]
        return PretrainedEncoder(network, space["resolution"] or side, anything, anything)
    if space["kind"] == "sscd":
        return PretrainedEncoder(SSCD(512, True), space["resolution"], anything, anything)
    from torchvision.models import get_model, get_model_weights

    side = get_model_weights(space["model"]).DEFAULT.transforms().crop_size[0]
    network = get_model(space["model"], weights=None)
    return ClassifierFeatures(network, space["resolution"] or side, anything, anything)


def _of_audit(config: dict[str, Any]) -> Iterator[Need]:
    audit = config["audit"]
    for shape in _shapes(config, audit):
        yield Need("search_samples, search_audit_controls", "alignment", gpu_work.aligning(), shape)
    for dataset, audited in audit["datasets"].items():
        [shape] = _shapes(config, {"datasets": [dataset]})
        for name in audited["samples"]:
            samples = config["samples"][name]
            if samples["source"] == "diffusers":
                for rule, at_once in (
                    ("draw_pipeline_samples", DRAWN_AT_ONCE),
                    ("score_by_generator", SAMPLED_AT_ONCE),
                ):
                    yield Need(rule, name, gpu_work.pipeline(samples["path"], at_once), shape)
            elif samples["source"] == "generator":
                settings = settings_for(**config["generators"][samples["generator"]])
                yield Need("score_by_generator", samples["generator"], gpu_work.scoring(settings), shape)


def _of_distillation(distillation: dict[str, Any], shape: ImageShape) -> Iterator[Need]:
    teacher, student = (classifier_settings(**_chosen(distillation[role])) for role in ("teacher", "student"))
    taught_by: tuple[ClassifierSettings, ...] = ()
    method = distillation["attention"]["method"]
    if distillation["protocol"] == "fresh":
        taught_by = (teacher,) * max(map(len, distillation["ensembles"]))
    else:
        yield Need("store_views", "teacher", gpu_work.prediction(teacher), shape)
    yield Need("train_teacher", "teacher", gpu_work.classifier_training_of(teacher), shape)
    yield Need("train_student", "student", gpu_work.classifier_training_of(student, taught_by), shape)
    yield Need("look_with_teachers", "teacher", gpu_work.attention_maps(teacher, method), shape)
    yield Need("look_with_students", "student", gpu_work.attention_maps(student, method), shape)
    if method != "rollout":
        yield Need("compare_maps", "student", gpu_work.attention_maps(student, "grad_cam"), shape)


def _chosen(section: dict[str, Any]) -> dict[str, Any]:
    return {"preset": section["preset"], "overrides": section["overrides"]}


def _shapes(config: dict[str, Any], section: dict[str, Any]) -> list[ImageShape]:
    """The shapes of the images of a section's data sets."""
    sets = [config["datasets"][name] for name in section["datasets"]]
    return list(dict.fromkeys(ImageShape(entry["resolution"], 1 if entry["color"] == "grey" else 3) for entry in sets))


def main() -> None:
    try:
        path, config = configured_study()
    except InputError as error:
        sys.exit(f"make gpu-memory: {error}")
    print(f"GPU memory that the rules of {path} need:")
    for need in needs(config):
        at_once = f", batch {need.work.batch}" if need.work.batch else ""
        megabytes = needed_mb(need.work, need.shape)
        print(
            f"  {megabytes / 1e3:5.1f} GB  {need.rules}: {need.name}, {need.shape.resolution} px{at_once}", flush=True
        )
    print(f"  what is free, 2 GB or more: {', '.join(AS_MUCH_AS_IS_FREE)}")
    print(f"  less than 1 GB: {', '.join(LITTLE)}")


if __name__ == "__main__":
    main()
