"""Encoders: from images to the vectors that neighbours and quality are measured on.

An encoder is a module that maps uint8 images (B, H, W, C) on its device to float32 features (B, D).
"""

import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workflow_scripts.core.devices import in_batches, side_by_side
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import sha256
from workflow_scripts.core.progress import tracked
from workflow_scripts.features.pretrained import (
    PretrainedEncoder,
    checked_weights,
    load,
    perceptual_encoder,
    sscd_encoder,
    timm_encoder,
)

BATCH = 128
BATCH_ON_CPU = 32  # what a layer makes of more leaves the caches before the next layer reads it


class ClassifierFeatures(PretrainedEncoder):
    """A torchvision classifier up to its last linear layer: what goes into that layer is the feature vector."""

    def __init__(self, network: nn.Module, resolution: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__(network, resolution, mean, std)
        network.set_submodule(last_linear(network), nn.Identity())


def last_linear(network: nn.Module) -> str:
    """The name of a network's classification layer. Raises InputError if it has none."""
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise InputError(f"{type(network).__name__}: no linear layer, so there are no features before it")
    return layers[-1]


def torchvision_encoder(
    model: str, weights: str | None, digest: str | None, resolution: int | None, device: torch.device
) -> ClassifierFeatures:
    """The features of torchvision's classifier `model`, with the weights of a local file or torchvision's own.

    weights: .pth or .safetensors, checked against the SHA-256 `digest` if that is given; None: torchvision's, from its
    cache, or fetched into it. resolution: px that images are scaled to; None: as in the network's training.
    Raises InputError if the weights are not there or are not this model's.
    """
    from torchvision.models import get_model_weights  # a second or two to import, and only needed here

    try:
        known = get_model_weights(model).DEFAULT
    except ValueError as cause:
        raise InputError(f"spaces: torchvision has no model {model!r}; see torchvision.models.list_models()") from cause
    path = Path(weights) if weights else _cached_weights(model, known.url)
    state = checked_weights(path, f"the weights of torchvision's {model} (.pth or .safetensors)", digest)
    network = _rebuild(model, state)
    load(network, state, path, f"torchvision's {model}")
    trained = known.transforms()
    return ClassifierFeatures(network, resolution or trained.crop_size[0], trained.mean, trained.std).to(device)


def build_encoder(space: dict[str, Any], device: torch.device) -> nn.Module:
    """The encoder of a configured space, if it is not trained here. Raises InputError if its weights are not right."""
    if space["kind"] == "perceptual":
        return perceptual_encoder(space["weights"], space["resolution"], device)
    if space["kind"] == "sscd":
        return sscd_encoder(space["weights"], space["sha256"], space["resolution"], device)
    build = timm_encoder if space["kind"] == "timm" else torchvision_encoder
    return build(space["model"], space["weights"], space["sha256"], space["resolution"], device)


def encode(encoder: nn.Module, images: np.ndarray, device: torch.device, batch: int | None = None) -> np.ndarray:
    """Features float32 (N, D) of images, uint8 (N, H, W, C); of no images (0, 0). InputError if one is not finite.

    On a CPU each of PyTorch's threads looks at batches of its own, so that their number does not change the result.
    """

    def look(rows: slice) -> np.ndarray:
        part = np.array(images[rows])  # a copy: PyTorch warns of arrays on disk, which nobody may write to
        return encoder(torch.from_numpy(part).to(device)).float().cpu().numpy()

    count, on_gpu = len(images), device.type == "cuda"
    at_once = batch or (BATCH if on_gpu else BATCH_ON_CPU)
    with torch.inference_mode(), side_by_side(device) as (_, mapped):
        slices = (slice(start, start + at_once) for start in range(0, count, at_once))
        looked = in_batches(look, count, at_once) if on_gpu else mapped(look, slices)
        parts = [*tracked(looked, count, "images", "features")]
    features = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
    if not np.isfinite(features).all():
        raise InputError(
            "features: the encoder gives values that are not finite numbers; its weights are damaged, or not those of "
            "this network (config key spaces.<name>)"
        )
    return features


def join(parts: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Join spaces into one in which each weighs alike: (m, sum of D) float32 from (reference (n, D), points (m, D)).

    Each part is centred, and divided by the root of its total variance over the reference: two random references are
    then equally far apart in all parts. Uint8 images count as their pixels.
    """
    joined = []
    for reference, points in parts:
        reference, points = (
            np.asarray(space, dtype=np.float32).reshape(len(space), -1) for space in (reference, points)
        )
        scale = np.sqrt(reference.var(axis=0, dtype=np.float64).sum()) or 1.0
        joined.append((points - reference.mean(axis=0)) / np.float32(scale))
    return np.concatenate(joined, axis=1)


def _cached_weights(model: str, url: str) -> Path:
    """Torchvision's weights in torch's cache, fetched if they are missing, their hash checked each time."""
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    name = url.rsplit("/", 1)[-1]
    prefix = name.rsplit(".", 1)[0].rsplit("-", 1)[-1]
    path = cache / name
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
        except (urllib.error.URLError, OSError, RuntimeError) as cause:
            raise InputError(
                f"the weights of torchvision's {model} are not in its cache and could not be fetched ({cause}). Fetch "
                f"{url} on a machine with a network, and put it into {cache}, or anywhere and give its path as "
                "`weights` of this space (config key spaces.<name>.weights)."
            ) from cause
    if not sha256(path).startswith(prefix):
        raise InputError(f"{path}: damaged (its SHA-256 does not start with {prefix}). Delete it and fetch it again.")
    return path


def _rebuild(model: str, state: dict[str, Tensor]) -> nn.Module:
    """The network that the weights are of: with as many classes as they have."""
    from torchvision.models import get_model

    options: dict[str, Any] = {}
    heads = [value for name, value in state.items() if name.endswith(".weight") and value.ndim == 2]
    if heads:
        options["num_classes"] = len(heads[-1])
    if model in ("inception_v3", "googlenet"):
        options |= {"init_weights": False, "transform_input": True}
        options["aux_logits"] = any(name.lower().startswith("aux") for name in state)
    return get_model(model, weights=None, **options)
