"""The section `complexity`."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import Model


class Complexity(Model):
    """How the intrinsic dimension of each subset is measured (Levina and Bickel 2004)."""

    resolution: int = Field(
        32, ge=4, le=512, description="px at which images are compared; smaller ones are not enlarged"
    )
    neighbours: Annotated[list[Annotated[int, Field(ge=3, le=1000)]], Field(min_length=2, max_length=2)] = Field(
        [10, 20],
        description="first and last number of neighbours k to average over; begin with 5 or more: with k = 3 the "
        "variance of the estimate is infinite",
    )
    resampling: Literal["subsets", "bootstrap"] = Field(
        "subsets",
        description="`subsets`: the value of the whole set, with an interval from parts of it; `bootstrap`: mean and "
        "interval over resamples that hold 63 % of the images, as Feng et al. 2021 did",
    )
    resamples: int = Field(100, ge=10, le=100_000, description="parts, or bootstrap resamples, of each set")


@where_sound
def check(complexity: Sound) -> Iterator[str]:
    """Contradictions within the section."""
    neighbours = complexity["neighbours"]
    if len(neighbours) == 2 and neighbours[0] > neighbours[1]:
        yield f"complexity.neighbours: {neighbours} given, expected the second number to be no smaller"
