"""The section `complexity`."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import Model


class Complexity(Model):
    """How the intrinsic dimension of each subset is measured (Levina and Bickel 2004)."""

    resolution: int = Field(
        32, ge=4, le=512, description="px at which images are compared; smaller ones are not enlarged"
    )
    neighbours: Annotated[list[Annotated[int, Field(ge=3, le=1000)]], Field(min_length=2, max_length=2)] = Field(
        [10, 20], description="first and last number of neighbours k to average over"
    )
    bootstraps: int = Field(100, ge=1, le=100_000, description="bootstrap resamples of each subset")


@where_sound
def check(complexity: Sound) -> Iterator[str]:
    """Contradictions within the section."""
    neighbours = complexity["neighbours"]
    if len(neighbours) == 2 and neighbours[0] >= neighbours[1]:
        yield f"complexity.neighbours: {neighbours} given, expected the second number to be the larger one"
