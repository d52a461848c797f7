"""The whole config, section by section: the one source of truth for its check, its JSON schema and its reference."""

from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field

from workflow_scripts.config.audit import Audit
from workflow_scripts.config.complexity import Complexity
from workflow_scripts.config.datasets import AnyDataset
from workflow_scripts.config.distillation import Distillation
from workflow_scripts.config.generators import AnyGenerator
from workflow_scripts.config.messages import Schema
from workflow_scripts.config.rebalancing import Rebalancing
from workflow_scripts.config.replication import Replication
from workflow_scripts.config.samples import AnySamples
from workflow_scripts.config.similarity import Similarity
from workflow_scripts.config.spaces import SPACES, AnySpace, with_built_in_spaces
from workflow_scripts.config.training import Training
from workflow_scripts.config.types import PATTERNS, Model, Name, SpaceName


class Config(Model):
    """A study. A section that is left out works on no data sets."""

    datasets: Annotated[dict[Name, AnyDataset], Field(min_length=1)] = Field(description="data sets by name")
    generators: dict[Name, AnyGenerator] = Field(
        {}, examples=[{"my-gan": {"family": "biggan", "preset": "tiny"}}], description="generators by name"
    )
    spaces: Annotated[dict[SpaceName, AnySpace], AfterValidator(with_built_in_spaces)] = Field(
        SPACES, examples=[{"resnet": {"kind": "torchvision", "model": "resnet50"}}], description="spaces by name"
    )
    samples: dict[Name, AnySamples] = Field(
        {}, examples=[{"my-model": {"source": "npz", "path": "samples.npz"}}], description="samples to audit, by name"
    )
    replication: Replication = Replication.model_validate({"datasets": {}, "generators": []})
    similarity: Similarity = Similarity.model_validate({"datasets": []})
    rebalancing: Rebalancing = Rebalancing.model_validate({"datasets": [], "generators": []})
    distillation: Distillation = Distillation.model_validate({"datasets": []})
    audit: Audit = Audit.model_validate({"datasets": {}})
    complexity: Complexity = Complexity.model_validate({})
    training: Training = Training.model_validate({})


@cache
def schema() -> Schema:
    """The config's JSON schema."""
    root = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()
    return Schema(root, PATTERNS)
