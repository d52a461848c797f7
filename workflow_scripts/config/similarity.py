"""The section `similarity`."""

from typing import Literal

from pydantic import Field

from workflow_scripts.config.types import MOST, Model, Name


class Similarity(Model):
    """How alike classes are: SSIM-supSubCls of every data set named here, and a map of its classes."""

    datasets: list[Name] = Field(examples=[["my-images"]], description="names under `datasets`, with classes")
    measure: Literal["between_sub", "contrast", "within", "between_super"] = Field(
        "between_sub",
        description="what laws and advice use: pairs from different classes of a super-class, that minus pairs from "
        "one class, pairs from one class, or pairs from different super-classes",
    )
    resolution: int = Field(
        64, ge=11, le=512, description="px at which images are compared; smaller ones are not enlarged"
    )
    channels: Literal["luminance", "mean"] = Field(
        "luminance", description="SSIM of the luminance, or its mean over the colour channels"
    )
    standard_error: float = Field(0.002, gt=0, lt=1, description="of the measure, when pairs are sampled")
    exact_pairs: int = Field(
        500_000, ge=1, le=MOST, description="up to this many pairs of images, all are compared; beyond that, a sample"
    )
