"""The section `samples`: what is audited, images that a generator made elsewhere, or a generator that makes them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, create_model

from workflow_scripts.config.datasets import SOURCES, Dataset
from workflow_scripts.config.types import MOST, FilePath, Model, Name, Seed, one_of

# Keys that samples do not have: they are packed as the data set that they are compared with, and are never split.
OF_DATASETS = {"resolution", "color", "held_out", "held_out_path", "subsets", "groups", "group_pattern", "superclasses"}


class OwnSamples(Model):
    """Samples of a generator of the config, which is trained on a subset of the audited data set."""

    source: Literal["generator"] = Field(description="where the images come from")
    generator: Name = Field(examples=["my-gan"], description="a name under `generators`")
    size: int = Field(ge=2, le=MOST, examples=[256], description="training images, the first of the subsets' order")
    seed: Seed = Field(0, description="of the subsets and of the training")


class PipelineSamples(Model):
    """Samples of a diffusion model that was trained elsewhere: an unconditional pipeline of diffusers in a folder.

    Its weights must be safetensors. Copycat draws the samples, and asks the model for its losses, too.
    """

    source: Literal["diffusers"] = Field(description="where the images come from")
    path: FilePath = Field(
        examples=["/data/my-pipeline"], description="the folder that the pipeline's `save_pretrained` wrote"
    )
    count: int = Field(1000, ge=1, le=MOST, description="samples that are drawn")
    steps: int | None = Field(
        None, ge=1, le=10_000, examples=[50], description="of denoising; null: as many as the pipeline has by default"
    )
    seed: Seed = Field(0, description="of the samples")


def _samples_of(model: type[Dataset]) -> type[Model]:
    fields: dict[str, Any] = {
        name: (info.annotation, info) for name, info in model.model_fields.items() if name not in OF_DATASETS
    }
    return create_model(f"{model.__name__}Samples", __base__=Model, __doc__=model.__doc__, **fields)


AnySamples = one_of([*(_samples_of(model) for model in SOURCES.values()), OwnSamples, PipelineSamples], "source")


def packed_like(samples: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Samples that were made elsewhere, as an entry of `datasets` with the resolution and colour of a data set."""
    entry = {**samples, "resolution": dataset["resolution"], "color": dataset["color"]}
    return SOURCES[samples["source"]].model_validate(entry).model_dump(mode="json")
