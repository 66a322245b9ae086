"""`crlnet`: an example and a query shape each other's representation, so that hard queries are recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

CONDITIONAL, CONTROL, POOLED = "conditional", "control", "pooled"
CONDITIONS: Mapping[str, tuple[str, int]] = {
    "blur": ("defocus_blur", 4), "contrast": ("contrast", 4), "pixelate": ("pixelate", 4)
}  # fmt: skip
"""Hard conditions of a query: name to stressor and severity."""
CLEAN = "clean"


@register("crlnet", reference="Conditional Representation Learning, github.com/guoqianyu-alberta")
class CrlNetPaper(Paper):
    """Does conditioning an example and a query on each other help where queries are harder than examples?

    Heads on frozen maps of a network trained on ImageNet, with and without conditioning, learn from pairs of five
    classes of CIFAR-10; examples and queries of the other five are compared, queries as they are and in three worse
    conditions.
    """

    title: ClassVar[str] = (
        "Enhancing Environmental Robustness in Few-shot Learning via Conditional Representation Learning"
    )
    claim: ClassVar[str] = (
        "Few-shot recognition breaks where queries are harder than examples; letting both condition each other's "
        "representation on a frozen network recovers much of it."
    )
    summary: ClassVar[str] = "Example and query condition each other; hard queries are recognised better."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "conditioning": ClaimPart(
            statement="On hard queries the head is more accurate than the same head without conditioning.",
            rule="Shown if the accuracy of one-shot episodes with hard queries exceeds that of the control, trained "
            "alike, by the interval over the seeds; contradicted if it is lower.",
        ),
        "head": ClaimPart(
            statement="It is more accurate than the cosine of pooled features, too.",
            rule="Shown if the same holds against the cosine of pooled maps; contradicted if it is lower.",
        ),
        "harder": ClaimPart(
            statement="Hard queries cost accuracy.",
            rule="Shown if the cosine of pooled maps is more accurate on clean than on hard queries, by the interval "
            "over the seeds; contradicted if less.",
            central=False,
        ),
        "published-data": ClaimPart(
            statement="The gain is 7 to 17 points on photos of animals, insects, minerals and fungi.",
            untried="needs the published photos, and a head of 18.6 million weights.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ResNet-12, 5-way 1-shot: animals 46.7, insects 54.1, fungi 35.5; gains of 6.8 to 17.0 points",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "over.control.hard": ("Hard queries, head minus control", "accuracy"),
        "over.pooled.hard": ("Hard queries, head minus pooled cosine", "accuracy"),
        "conditional.hard": ("Hard queries, head", "accuracy"),
        "control.hard": ("Hard queries, control", "accuracy"),
        "pooled.hard": ("Hard queries, pooled cosine", "accuracy"),
        "conditional.clean": ("Clean queries, head", "accuracy"),
        "pooled.clean": ("Clean queries, pooled cosine", "accuracy"),
        "separation.conditional": ("Separation d' of hard pairs, head", "deviations"),
        "separation.pooled": ("Separation d' of hard pairs, pooled cosine", "deviations"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Maps of EfficientNet-Lite0, projected to 64 channels; hidden layers of 256 in the place of 2048 units.",
        "Five base classes of CIFAR-10 in the place of a thousand of ImageNet, and conditions made by corruptions.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "imagenet:efficientnet-lite0"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "episodes": {"accuracy": "double"},
        "pairs": {"separation": "double"},
    }
    full: ClassVar[Mapping[str, Any]] = {"base": 1000, "supports": 20, "queries": 40, "steps": 1000}

    base: PositiveInt = Field(300, description="training images of the base classes")
    supports: PositiveInt = Field(10, description="examples of each new class")
    queries: PositiveInt = Field(15, description="queries of each new class, in every condition")
    channels: PositiveInt = Field(64, description="of the maps, a multiple of 8")
    hidden: PositiveInt = Field(256, description="units of the head's hidden layers")
    steps: PositiveInt = Field(200, description="optimizer steps of each head")
    pairs: PositiveInt = Field(32, description="pairs of a step")
    episodes: PositiveInt = Field(300, description="episodes of each condition")
    seeds: int = Field(3, description="trainings and draws of episodes", ge=2)

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        over, words = measured["over"], "accuracy on hard queries, head minus"
        return [
            decide("conditioning", f"{words} control", over[CONTROL]["hard"]),
            decide("head", f"{words} pooled cosine", over[POOLED]["hard"]),
            decide("harder", "accuracy of the pooled cosine, clean minus hard queries", measured["drop"][POOLED]),
        ]
