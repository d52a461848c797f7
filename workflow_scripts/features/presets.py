"""Settings of the encoder that is trained here, as data. No torch: the config check imports this."""

from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Gt
from typing_extensions import Doc

from workflow_scripts.core.settings import Count, NotNegative, Positive

AtLeastTwo = Annotated[int, Ge(2)]


@dataclass(frozen=True, kw_only=True)
class SimCLRSettings:
    """SimCLR (Chen et al. 2020): an encoder that knows an image again after cropping and changes of light."""

    steps: Annotated[Count, Doc("updates")]
    batch: Annotated[AtLeastTwo, Doc("images an update sees, each in two views")]
    width: Annotated[Count, Doc("channels of the small residual network's first stage; four times as many features")]
    depth: Annotated[Annotated[int, Ge(8)], Doc("layers of the small residual network: 8, 14, 20, ...")] = 8
    projection: Annotated[Count, Doc("size of the vectors that the loss compares")] = 64
    temperature: Annotated[Positive, Doc("of the loss")] = 0.2
    learning_rate: Annotated[Positive, Doc("Adam's, falling to zero along a cosine")] = 1e-3
    weight_decay: Annotated[NotNegative, Doc("AdamW's")] = 1e-4
    smallest_crop: Annotated[Annotated[float, Gt(0)], Doc("smallest share of an image that a view shows")] = 0.3
    jitter: Annotated[NotNegative, Doc("largest relative change of brightness and of contrast")] = 0.4


PRESETS = {
    "tiny": SimCLRSettings(steps=600, batch=128, width=16),
    "small": SimCLRSettings(steps=20_000, batch=512, width=64, depth=20),
}


def simclr_settings(preset: str, overrides: dict[str, object]) -> SimCLRSettings:
    """The preset's settings with single values replaced."""
    return replace(PRESETS[preset], **overrides)  # type: ignore[arg-type]
