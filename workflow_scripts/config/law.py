"""The section `law`."""

from typing import Literal

from pydantic import Field

from workflow_scripts.config.types import Model


class Law(Model):
    """How laws are fitted."""

    fit: Literal["binomial", "least_squares"] = Field(
        "binomial", description="maximum likelihood of the counts, or least squares on percentages as published"
    )
