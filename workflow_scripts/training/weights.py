"""Networks as files: weights, and beside those that were trained here the JSON that rebuilds the network."""

import os
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import atomic_path, remake, write_json

Path = str | os.PathLike[str]


def save_network(weights: Path, description: Path, network: nn.Module, **described: Any) -> None:
    """Write the weights, and as JSON `described`: what rebuilds the network, and how it came about."""
    save_weights(weights, network)
    write_json(description, described)


def save_weights(path: Path, network: nn.Module) -> None:
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, temporary)


def load_weights(network: nn.Module, weights: Path, description: Path) -> None:
    """Fill the network, rebuilt from its description. Raises InputError if the two files do not fit each other."""
    try:
        network.load_state_dict(load_file(weights))
    except Exception as cause:  # safetensors and torch raise several unrelated types
        raise InputError(
            f"{weights}: not the weights of the network in {description} ({cause}). {remake(weights)}"
        ) from cause


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, by name. No pickled code is run. Raises InputError if it is unreadable."""
    try:
        if str(path).endswith(".safetensors"):
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # several unrelated types, from two libraries
        raise InputError(
            f"{path}: not readable as weights ({first_line(cause)}); expected .pth or .safetensors"
        ) from cause


def first_line(cause: BaseException) -> str:
    """What an error says, in one line."""
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
