"""From a family's settings to its model, and from a trained generator's two files back to a model that samples."""

import os
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import atomic_path, read_json, remake, write_json
from workflow_scripts.generators.model import GenerativeModel, ImageShape
from workflow_scripts.generators.presets import PRESETS, BigGANSettings, DiffusionSettings, Settings, StyleGAN2Settings


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
    weights: str | os.PathLike[str], network: str | os.PathLike[str], family: str, model: GenerativeModel, **about: Any
) -> None:
    """Write the averaged network: its weights as safetensors and, as JSON, what rebuilds it and how it came about."""
    state = {name: tensor.contiguous() for name, tensor in model.networks["ema"].state_dict().items()}
    with atomic_path(weights) as temporary:
        save_file(state, temporary)
    write_json(network, {"family": family, **model.describe(), **about})


def load_generator(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], device: torch.device
) -> GenerativeModel:
    """The trained generator that `save_generator` wrote. Raises InputError if the two files do not fit each other."""
    about = read_json(network)
    preset = next(iter(PRESETS[about["family"]].values()))
    model = build_model(type(preset)(**about["settings"]), ImageShape(**about["shape"]), device)
    try:
        model.networks["ema"].load_state_dict(load_file(weights, device=str(device)))
    except Exception as cause:  # safetensors and torch raise several unrelated types
        raise InputError(
            f"{weights}: not the weights of the network in {network} ({cause}). {remake(weights)}"
        ) from cause
    return model
