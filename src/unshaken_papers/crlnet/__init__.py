"""`crlnet`: an example and a query shape each other's representation, so that hard queries are recognised."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, PositiveInt

from unshaken.papers import Paper, row

CONDITIONAL, CONTROL, POOLED = "conditional", "control", "pooled"
CONDITIONS: Mapping[str, tuple[str, int]] = {
    "blur": ("defocus_blur", 4), "contrast": ("contrast", 4), "pixelate": ("pixelate", 4)
}  # fmt: skip
"""Hard conditions of a query: name to stressor and severity."""
CLEAN = "clean"
ARMS = (POOLED, CONTROL, CONDITIONAL)


@row(__file__)
class CrlNetPaper(Paper):
    """Does conditioning an example and a query on each other help where queries are harder than examples?

    Heads on frozen maps of a network trained on ImageNet, with and without conditioning, learn from pairs of five
    classes of CIFAR-10; examples and queries of the other five are compared, queries as they are and in three worse
    conditions. Each seed draws classes and images anew, so that the interval over seeds is for other ones.
    """

    base: PositiveInt = Field(description="training images of the base classes")
    supports: PositiveInt = Field(description="examples of each new class")
    queries: PositiveInt = Field(description="queries of each new class, in every condition")
    channels: PositiveInt = Field(description="of the maps, a multiple of 8")
    hidden: PositiveInt = Field(description="units of the head's hidden layers")
    steps: PositiveInt = Field(description="optimizer steps of each head")
    pairs: PositiveInt = Field(description="pairs of a step")
    episodes: PositiveInt = Field(description="episodes of each condition")
    seeds: int = Field(description="draws of classes, images and episodes, and trainings on them", ge=2)
