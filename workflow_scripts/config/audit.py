"""The section `audit`."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from workflow_scripts.config.messages import path, repeated
from workflow_scripts.config.replication import Threshold, sound_thresholds
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import Model, Name, Seed, SpaceName
from workflow_scripts.replication.thresholds import threshold_label


class AuditedDataset(Model):
    """The training images of a generator, and the samples that are compared with them."""

    samples: Annotated[list[Name], Field(min_length=1)] = Field(
        examples=[["my-model"]], description="names under `samples`"
    )


class Audit(Model):
    """The audit: does a generator that you already have copy its training images?

    Its held-out images are those of the data set's `held_out_path`; for generators of the config, those of its subsets.
    """

    datasets: dict[Name, AuditedDataset] = Field(
        examples=[{"my-images": {"samples": ["my-model"]}}],
        description="names under `datasets`, the training images, each with its samples",
    )
    spaces: Annotated[list[SpaceName], Field(min_length=1)] = Field(
        ["pixel", "perceptual"], description="where distances are measured; the first one leads"
    )
    thresholds: Annotated[list[Threshold], Field(min_length=1)] = Field(
        [{"calibrated": 0.01}, {"rms": 0.1415}],
        description="when a sample counts as a copy; the first one leads. Without held-out images only fixed distances "
        "between pixels can be used",
    )
    wanted_percentage: float = Field(
        1.0, gt=0, le=100, description="copies that are accepted, %: `make audit` fails if there may be more"
    )
    planted: int = Field(
        100,
        ge=10,
        le=10_000,
        description="training images, and held-out ones, that are planted to measure what is found",
    )
    seed: Seed = Field(0, description="of the choice of planted images, and of those whose membership is asked")
    shards: int = Field(1, ge=1, le=10_000, description="jobs that the samples are split over, for many samples")
    redact: bool = Field(False, description="show no training image in the report, only numbers")
    release: bool = Field(
        False,
        description="also write the samples that may be released: no copies, none that are near to images at risk",
    )


def check(audit: Sound) -> Iterator[str]:
    """Contradictions within the section."""
    yield from _names(audit)
    for name in audit.get("datasets", ()):
        yield from _samples(audit, name)


@where_sound
def _names(audit: Sound) -> Iterator[str]:
    yield from repeated("audit.spaces", audit["spaces"])
    yield from repeated("audit.thresholds", map(threshold_label, sound_thresholds(audit)), quote=str)


@where_sound
def _samples(audit: Sound, name: str) -> Iterator[str]:
    yield from repeated(path(("audit", "datasets", name, "samples")), audit["datasets"][name]["samples"])
