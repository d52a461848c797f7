"""What the GPU rules compute, as steps whose memory can be counted.

Steps compute on tensors without contents: what depends on values is left out where it takes little memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from workflow_scripts.audit import alignment
from workflow_scripts.classifiers import training as classifier_training
from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.presets import PRESETS as CLASSIFIERS
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.distillation import looking, targets
from workflow_scripts.features.encoders import BATCH as ENCODED_AT_ONCE
from workflow_scripts.features.lite0 import Lite0
from workflow_scripts.features.presets import PRESETS as ENCODERS
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.features.pretrained import PretrainedEncoder
from workflow_scripts.features.simclr import Encoder, EncoderTraining
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import GenerativeModel, ImageShape, from_uint8
from workflow_scripts.generators.presets import PRESETS as GENERATORS
from workflow_scripts.generators.presets import SAMPLED_AT_ONCE, BigGANSettings, DiffusionSettings, Settings
from workflow_scripts.metrics import ssim
from workflow_scripts.similarity.class_similarity import PREPARED_BYTES

CPU = torch.device("cpu")
CLASSES = 100  # of a classifier
ALIGNED = 256  # images, more than are aligned at once
PERCEPTUAL_AT = 96  # px of `kind: perceptual`, where the config says no other
TEACHERS = 2  # of the student in the table
DESIGN = {"alpha": 0.5, "temperature": 4.0, "combination": "losses", "crops": "own"}  # no teaching takes other memory

Step = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """Some work on a GPU.

    batch: images at once, 0 where the memory decides; prepare: builds it, and gives its step; values: whether the step
    is nothing without them.
    """

    batch: int
    prepare: Callable[[ImageShape], Step]
    values: bool = False


def generator_training(settings: Settings) -> Work:
    def prepare(shape: ImageShape) -> Step:
        model = _model(settings, shape)

        def step() -> None:
            images = torch.zeros(settings.batch, shape.channels, shape.resolution, shape.resolution)
            labels = torch.zeros(settings.batch, dtype=torch.int64)
            model.step([(images, labels)] * model.batches_per_step)

        return step

    return Work(settings.batch, prepare)


def sampling(settings: Settings) -> Work:
    at_once = SAMPLED_AT_ONCE if isinstance(settings, DiffusionSettings) else settings.batch
    # Each of these is repeated, in the memory of the first.
    if isinstance(settings, DiffusionSettings):
        settings = replace(settings, sampling_steps=1)
    elif isinstance(settings, BigGANSettings):
        settings = replace(settings, standing_batches=1, truncation=0.0)

    def prepare(shape: ImageShape) -> Step:
        model, labels = _model(settings, shape), torch.zeros(at_once, dtype=torch.int64)

        def step() -> None:
            with _sampler_left_out() if isinstance(settings, DiffusionSettings) else nullcontext():
                model.sample(at_once, labels if shape.classes else None, 0)

        return step

    return Work(at_once, prepare)


@contextmanager
def _sampler_left_out() -> Iterator[None]:
    """Its arithmetic looks at values; and it has a few images, where the network has many maps of each."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    def keep(_: object, predicted: Tensor, level: Tensor, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(prev_sample=images)

    with patch.object(DDIMScheduler, "step", keep), patch.object(DPMSolverMultistepScheduler, "step", keep):
        yield


def scoring(settings: Settings) -> Work:
    def prepare(shape: ImageShape) -> Step:
        from workflow_scripts.generators import diffusion  # seconds to import

        model = _model(settings, shape)
        images, labels, _ = _batch(SAMPLED_AT_ONCE, shape)

        def step() -> Tensor:
            with patch.object(diffusion, "LOSS_LEVELS", diffusion.LOSS_LEVELS[:1]):  # the next takes the same memory
                return model.losses(from_uint8(images), labels)

        return step

    return Work(SAMPLED_AT_ONCE, prepare)


def pipeline(folder: str, at_once: int) -> Work:
    """The network of a pipeline of diffusers: the images are of its own size."""

    def prepare(_: ImageShape) -> Step:
        from diffusers.models.unets.unet_2d import UNet2DModel  # seconds to import

        network = UNet2DModel.from_config(UNet2DModel.load_config(folder, subfolder="unet"))
        side = network.config.sample_size
        size = (side, side) if isinstance(side, int) else tuple(side)

        def step() -> Tensor:
            with torch.no_grad():
                images = torch.zeros(at_once, network.config.in_channels, *size)
                return network(images, torch.zeros(at_once, dtype=torch.int64)).sample

        return step

    return Work(at_once, prepare)


def _model(settings: Settings, shape: ImageShape) -> GenerativeModel:
    from torch._subclasses.fake_tensor import FakeTensorMode  # as in live_bytes.py

    # The copy of averaged weights would copy the contents of tensors that have any.
    with patch.object(FakeTensorMode, "may_turn_const", return_value=False):
        return build_model(settings, shape, CPU)


def classifier_training_of(settings: ClassifierSettings, teachers: tuple[ClassifierSettings, ...] = ()) -> Work:
    def prepare(shape: ImageShape) -> Step:
        images, labels, chosen = _batch(settings.batch, shape)
        taught_by = [_classifier(teacher, shape) for teacher in teachers]
        target = targets.fresh_target(taught_by, images, DESIGN) if teachers else None
        classifier = _classifier(settings, shape)
        training = classifier_training.ClassifierTraining(classifier, images, labels, None, "none", target)

        def step() -> None:
            # Views are drawn on the host, by values; what they show takes little beside the network's maps.
            with (
                patch.object(classifier_training, "apply_view", _as_it_is),
                patch.object(targets, "apply_view", _as_it_is),
            ):
                training.step(0, [chosen])

        return step

    return Work(settings.batch, prepare)


def _as_it_is(images: Tensor, _: object) -> Tensor:
    return images


def prediction(settings: ClassifierSettings) -> Work:
    at_once = classifier_training.PREDICTED_AT_ONCE

    def prepare(shape: ImageShape) -> Step:
        images, _, _ = _batch(at_once, shape)
        classifier = _classifier(settings, shape)
        return lambda: classifier_training.predict(classifier, images)

    return Work(at_once, prepare)


def attention_maps(settings: ClassifierSettings, method: looking.Method) -> Work:
    def prepare(shape: ImageShape) -> Step:
        images, _, _ = _batch(looking.BATCH, shape)
        classifier = _classifier(settings, shape).eval()
        return lambda: looking.look(classifier, classifier_training.to_float(images), method)

    return Work(looking.BATCH, prepare)


def _classifier(settings: ClassifierSettings, shape: ImageShape) -> Classifier:
    return Classifier(settings, shape.resolution, shape.channels, shape.classes or CLASSES)


def simclr_training(settings: SimCLRSettings) -> Work:
    def prepare(shape: ImageShape) -> Step:
        images, _, chosen = _batch(settings.batch, shape)
        training = EncoderTraining(Encoder(settings, shape.channels), images)
        return lambda: training.step(0, [chosen])

    return Work(settings.batch, prepare)


def encoding(build: Callable[[ImageShape], nn.Module], values: bool = False) -> Work:
    """The features of an encoder."""

    def prepare(shape: ImageShape) -> Step:
        encoder = build(shape).eval()
        images, _, _ = _batch(ENCODED_AT_ONCE, shape)

        def step() -> Tensor:
            with torch.no_grad():
                return encoder(images)

        return step

    return Work(ENCODED_AT_ONCE, prepare, values)


def perceptual_encoding(resolution: int) -> Work:
    """With values, for without them its layers cannot be joined."""

    def build(_: ImageShape) -> nn.Module:
        network = Lite0().eval().fuse().to(memory_format=torch.channels_last)
        return PretrainedEncoder(network, resolution, (0.5,) * 3, (0.5,) * 3)

    return encoding(build, values=True)


def aligning() -> Work:
    """The alignment of a full batch of samples, with values: they choose what is compared."""

    def prepare(shape: ImageShape) -> Step:
        size = (ALIGNED, shape.resolution, shape.resolution, shape.channels)
        queries, references = (np.random.default_rng(i).integers(0, 256, size, dtype=np.uint8) for i in (0, 1))
        proposed = np.arange(ALIGNED)[:, None] + np.arange(alignment.CANDIDATES)  # by each of two spaces

        def step() -> None:
            with patch.object(alignment, "FLOATS", alignment.FLOATS_ON_GPU):
                alignment.align(queries, references, [proposed % ALIGNED] * 2, CPU)

        return step

    return Work(0, prepare, values=True)


def similarity() -> Work:
    """Pairs of images of two blocks, grey: in colour a block has fewer images, and takes as much."""

    def prepare(shape: ImageShape) -> Step:
        pixels = shape.resolution**2
        images = np.zeros((PREPARED_BYTES // (16 * pixels), shape.resolution, shape.resolution, 1), dtype=np.uint8)
        first = torch.zeros(2 * ssim.GPU_PAIR_BYTES // (4 * pixels), dtype=torch.int64)

        def step() -> None:
            # What is cached must not be without contents.
            uncached = patch.object(ssim, "_step_weights", ssim._step_weights.__wrapped__)
            with uncached, patch.object(ssim, "_compare_on_cpu", ssim._compare_on_gpu):
                ssim.ssim_pairs(ssim.prepare(images), first, first)

        return step

    return Work(0, prepare)


def _batch(size: int, shape: ImageShape) -> tuple[Tensor, Tensor, Tensor]:
    """Images uint8 (B, H, W, C), their labels and indices (B,)."""
    images = torch.zeros(size, shape.resolution, shape.resolution, shape.channels, dtype=torch.uint8)
    return images, torch.zeros(size, dtype=torch.int64), torch.arange(size)


def _works() -> dict[str, dict[str, Work]]:
    small, encoder = CLASSIFIERS["small"], ENCODERS["small"]
    of_presets = {
        family: {preset: presets[preset] for preset in ("small", "paper")} for family, presets in GENERATORS.items()
    }
    works = {family: {p: generator_training(s) for p, s in presets.items()} for family, presets in of_presets.items()}
    works |= {
        "classifier": {"small": classifier_training_of(small)},
        f"student of {TEACHERS} teachers": {"small": classifier_training_of(small, (small,) * TEACHERS)},
        "simclr": {"small": simclr_training(encoder)},
    }
    for family, presets in of_presets.items():
        works[f"samples of {family}"] = {preset: sampling(settings) for preset, settings in presets.items()}
    for family, presets in of_presets.items():
        works[f"losses by {family}"] = {preset: scoring(settings) for preset, settings in presets.items()}
    return works | {
        "classifier's predictions": {"small": prediction(small)},
        "classifier's attention maps": {"small": attention_maps(small, "grad_cam")},
        "simclr's features": {"small": encoding(lambda shape: Encoder(encoder, shape.channels))},
        "perceptual features": {"": perceptual_encoding(PERCEPTUAL_AT)},
        "SSIM of classes": {"": similarity()},
        "alignment of copies": {"": aligning()},
    }


# By what is computed and preset. The other presets are for a CPU, or for networks of torchvision.
WORKS = _works()
