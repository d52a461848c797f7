"""Settings of the encoder that is trained here, as data. No torch: the config check imports this."""

from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Gt

from workflow_scripts.core.settings import Count, NotNegative, Positive

AtLeastTwo = Annotated[int, Ge(2)]


@dataclass(frozen=True, kw_only=True)
class SimCLRSettings:
    """SimCLR (Chen et al. 2020): an encoder that knows an image again after cropping and changes of light."""

    steps: Count  # updates
    batch: AtLeastTwo  # images an update sees, each in two views
    width: Count  # channels of the small residual network's first stage; four times as many features
    depth: Annotated[int, Ge(8)] = 8  # layers of the small residual network: 8, 14, 20, ...
    projection: Count = 64  # size of the vectors that the loss compares
    temperature: Positive = 0.2  # of the loss
    learning_rate: Positive = 1e-3  # Adam's, falling to zero along a cosine
    weight_decay: NotNegative = 1e-4  # AdamW's
    smallest_crop: Annotated[float, Gt(0)] = 0.3  # smallest share of an image that a view shows
    jitter: NotNegative = 0.4  # largest relative change of brightness and of contrast


PRESETS = {
    "tiny": SimCLRSettings(steps=600, batch=128, width=16),
    "small": SimCLRSettings(steps=20_000, batch=512, width=64, depth=20),
}


def simclr_settings(preset: str, overrides: dict[str, object]) -> SimCLRSettings:
    """The preset's settings with single values replaced."""
    return replace(PRESETS[preset], **overrides)  # type: ignore[arg-type]
