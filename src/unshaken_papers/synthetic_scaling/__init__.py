"""`synthetic-scaling`: a loss falls as a power of the number of images, and more slowly with generated ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

REAL = "real"
OWN, COLD = 100, 50
"""Temperatures of the generator, in percent: as it learned, and with high guidance; the rule compares these two."""
POOR, POOR_IMAGES = 2, 20
"""Number of last classes that the generator hardly learns, and images of each that it is shown."""


def source_of(temperature: int) -> str:
    """The name of images generated at a temperature, in percent."""
    return f"generated-t{temperature}"


@row(__file__)
class SyntheticScalingPaper(Paper):
    """Does a loss fall more slowly with more generated images than with more real ones?

    One network learns nested sets of real images and of images by Gaussians of classes, at several temperatures (the
    inverse of guidance), for a fixed number of updates; the loss on real test images is fitted by a power law.
    """

    sizes: tuple[int, ...] = Field(description="training images, rising", min_length=2)
    shown: PositiveInt = Field(description="images shown in each training, over all epochs")
    batch_size: PositiveInt = Field(description="images of an update")
    fitted: PositiveInt = Field(description="further real images that the generator is fitted to")
    components: PositiveInt = Field(description="principal components of a cluster")
    clusters: PositiveInt = Field(description="clusters of a class: the analogue of varied prompts")
    temperatures: tuple[int, ...] = Field(
        description="of the generator, in percent; 50 and 100 are judged", min_length=2
    )
    test: PositiveInt = Field(description="test images")
    choosing: PositiveInt = Field(description="further test images, on which temperatures of losses are fitted")
    seeds: PositiveInt = Field(description="seeds of sets, generator and training")

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        return (
            f"Exponents are of {self.sizes[0]:,} to {self.sizes[-1]:,} images at {self.shown:,} images shown; those of "
            "another range or length of training do not compare with them."
        )
