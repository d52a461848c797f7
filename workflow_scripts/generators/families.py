"""From a family's settings to its model, and from a trained generator's two files back to a model that samples."""

import os
from typing import Any

import torch

from workflow_scripts.core.files import read_json
from workflow_scripts.generators.model import GenerativeModel, ImageShape
from workflow_scripts.generators.presets import PRESETS, BigGANSettings, DiffusionSettings, Settings, StyleGAN2Settings
from workflow_scripts.training.weights import load_weights, save_network


def build_model(settings: Settings, shape: ImageShape, device: torch.device) -> GenerativeModel:
    """A freshly initialised model; initial weights come from torch's default generator, which the caller seeds."""
    # Imported where they are used: diffusers alone takes seconds to import.
    if isinstance(settings, BigGANSettings):
        from workflow_scripts.generators.biggan import BigGAN

        return BigGAN(settings, shape, device)
    if isinstance(settings, StyleGAN2Settings):
        from workflow_scripts.generators.stylegan2 import StyleGAN2

        return StyleGAN2(settings, shape, device)
    if isinstance(settings, DiffusionSettings):
        from workflow_scripts.generators.diffusion import Diffusion

        return Diffusion(settings, shape, device)
    raise TypeError(f"no generator family has settings of type {type(settings).__name__}")


def save_generator(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], family: str, model: GenerativeModel, **origin: Any
) -> None:
    """Write the averaged network's weights and, as JSON, what rebuilds it and `origin`: how it came about."""
    save_network(weights, network, model.networks["ema"], family=family, **model.describe(), **origin)


def load_generator(
    weights: str | os.PathLike[str],
    network: str | os.PathLike[str],
    device: torch.device,
    discriminator: str | os.PathLike[str] | None = None,
) -> GenerativeModel:
    """The trained generator that `save_generator` wrote, to be asked too if a file of its discriminator is given.

    That file is empty where the family has no discriminator, and is not read then.
    Raises InputError if the files do not fit each other.
    """
    described = read_json(network)
    preset = next(iter(PRESETS[described["family"]].values()))
    model = build_model(type(preset)(**described["settings"]), ImageShape(**described["shape"]), device)
    load_weights(model.networks["ema"], weights, network)
    if discriminator is not None and "discriminator" in model.networks:
        load_weights(model.networks["discriminator"].eval(), discriminator, network)
    return model
