"""`imagenet-e`: what other backgrounds, sizes, places and directions of the same object cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of an attribute.

    Args:
        method: a stressor with its parameters.
        severity: of it.
        is_drawn: whether it depends on the seed.
    """

    method: str
    severity: int
    is_drawn: bool = False


MIRRORED, RANDOM = "mirrored", "random"
EDITS: Mapping[str, Edit] = {
    MIRRORED: Edit("background-mirror", 1),
    "blurred": Edit("background-blur", 3),
    "noisy": Edit("background-noise", 5, is_drawn=True),
    "grey": Edit("background-grey", 1),
    "simpler": Edit("background-complexity:guidance=-20,steps=5", 2),
    "busier": Edit("background-complexity:guidance=20,steps=5", 2),
    RANDOM: Edit("background-random", 1, is_drawn=True),
    "full": Edit("object-size", 1),
    "size10": Edit("object-size", 2),
    "size05": Edit("object-size", 4),
    "position": Edit("object-position", 1, is_drawn=True),
    "direction": Edit("object-direction", 3, is_drawn=True),
}
"""Name to edit. The backgrounds of `random` are those of the other photos, without their objects."""
NETS = 3
GARMENTS, PLAIN, ROBUST = "garments", "demo:standard", "demo:robust"
"""Prefix of the part with garments, and its networks: trained plainly, and against PGD."""
LEAST, MOST = 0.08, 0.7
"""Share of a photo that its mask covers, at least and at most."""


@register("imagenet-e", reference="Li et al. 2023, arXiv:2303.17096")
class ImageNetEPaper(Paper):
    """How much accuracy is lost when the object stays and its background, size, place or direction changes?

    Pretrained networks of three sizes on ImageNet photos that all of them classify correctly, edited once for all; and
    a network trained against attacks beside a plain one on small garments.
    """

    title: ClassVar[str] = "ImageNet-E: Benchmarking Neural Network Robustness via Attribute Editing"
    claim: ClassVar[str] = (
        "Classifiers that recognise an object lose much accuracy when one attribute is edited: its background, size, "
        "position or direction."
    )
    summary: ClassVar[str] = "The same object before another background, smaller, moved or turned is missed more often."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "background": ClaimPart(
            statement="Another background costs accuracy, beyond what filling and pasting cost.",
            rule="Shown if for two of the three networks the background of another photo costs more than the mirrored "
            "own one, paired by photo; contradicted if for two of them it costs less.",
        ),
        "size": ClaimPart(
            statement="Small objects cost more than an object that fills the picture.",
            rule="Shown if 10 % and 5 % of the picture each cost more than the full picture, mean of the networks, "
            "paired by photo; contradicted if one of them costs less.",
        ),
        "smaller": ClaimPart(
            statement="The smaller the object, the more is lost.",
            rule="Shown if 5 % of the picture costs more than 10 %; contradicted if it costs less.",
            central=False,
        ),
        "sizes-largest": ClaimPart(
            statement="An object of 5 % costs more than another background.",
            rule="Shown if 5 % of the picture costs more than the background of another photo; contradicted if less.",
            central=False,
        ),
        "position": ClaimPart(
            statement="A small object at a random place costs more than one at its own place.",
            rule="Shown if position at 5 % costs more than size at 5 %; contradicted if it costs less.",
            central=False,
        ),
        "direction": ClaimPart(
            statement="A small object that is turned costs more than one that is upright.",
            rule="Shown if direction at 5 % costs more than size at 5 %; contradicted if it costs less.",
            central=False,
        ),
        "complexity": ClaimPart(
            statement="A background that diffusion made a little more complex costs 9.23 points on average.",
            untried="no diffusion model of photos comes with the package; blur, noise and steps on pixels stand in for "
            "it, and leave natural images. The method takes a user's model (background-complexity).",
            central=False,
        ),
        "robust-networks": ClaimPart(
            statement="Some robust models lose more than plain ones.",
            rule="Shown if, on garments of Fashion-MNIST that both classify correctly, a network trained against PGD "
            "loses more than a plain one, mean of all edits, paired by image. One network that loses less contradicts "
            "nothing.",
            central=False,
        ),
        "remedies": ClaimPart(
            statement="Preprocessing, architecture and training with edits lower the drops.",
            untried="this row trains no networks.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ResNet-50, points of top-1 lost: backgrounds 7.3 to 29.9 (random 13.3), full 2.7, size 10 % 7.3, "
        "8 % 10.5, 5 % 21.3, position 26.5, direction 25.1; reconstruction alone 2.0",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "beyond.mean.random": ("Lost by another photo's background, beyond the mirrored own one", "accuracy"),
        "drop.mean.mirrored": ("Lost by the mirrored own background (control)", "accuracy"),
        "drop.mean.blurred": ("Lost by a blurred background", "accuracy"),
        "drop.mean.noisy": ("Lost by a noisy background", "accuracy"),
        "drop.mean.random": ("Lost by another photo's background", "accuracy"),
        "drop.mean.full": ("Lost by an object that fills the picture", "accuracy"),
        "drop.mean.size10": ("Lost by an object of 10 %", "accuracy"),
        "drop.mean.size05": ("Lost by an object of 5 %", "accuracy"),
        "drop.mean.position": ("Lost by an object of 5 % at a random place", "accuracy"),
        "drop.mean.direction": ("Lost by an object of 5 %, turned by up to 45 degrees", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Masks come from the class activation map of the smallest network, not from people: they keep what such "
        "networks look at, so that the cost of backgrounds comes out too small.",
        "Objects are pasted on backgrounds that are filled in closed form; no diffusion model blends them. The control "
        "is the mirrored own background, since without diffusion a reconstruction is the photo itself.",
        "Photos that all three networks classify correctly, edited at 224 pixels and resized for the larger networks; "
        "nobody looked through the edited photos.",
        "Robust networks are tried on small garments, whose masks come from their black ground.",
        "Networks of mobile size that have learned from ImageNet, perhaps from these very photos.",
    )
    data: ClassVar[str] = "imagenet-sample"
    model: ClassVar[str] = "|".join(f"imagenet:efficientnet-lite{i}" for i in range(NETS))
    full: ClassVar[Mapping[str, Any]] = {"photos": 1000, "garments": 1000}
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "choice": {"object_size": "double", "reason": "string"},
        "edits": {
            "object_size": "double",
            "edited_size": "double",
            "complexity": "double",
            "edited_complexity": "double",
        },
    }

    photos: PositiveInt = Field(90, description="photos; those that all networks classify correctly are edited")
    seeds: PositiveInt = Field(3, description="draws of noise, backgrounds, places and angles")
    garments: NonNegativeInt = Field(150, description="garments for the robust network; 0 leaves them out")
    map: str = Field("cam", description="attribution method that gives the masks, on the first network")
    threshold: float = Field(0.35, description="share of the map's largest value that a pixel exceeds", gt=0, lt=1)
    grabcut: bool = Field(False, description="whether GrabCut moves the edges of masks to those of the photo")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        beyond = [measured["beyond"][str(net)][RANDOM] for net in range(NETS)]
        second = sorted(beyond, key=lambda figure: float(figure["low"]))[-2]
        more = measured["costs_more_than"]
        words = "lost by another photo's background minus the mirrored own one, the second of three networks"
        checks = [
            decide("background", words, second),
            decide("size", "lost at 10 % minus lost at the full picture", more["size10_full"]),
            decide("size", "lost at 5 % minus lost at the full picture", more["size05_full"]),
            decide("smaller", "lost at 5 % minus lost at 10 %", more["size05_size10"]),
            decide("sizes-largest", "lost at 5 % minus lost by another background", more["size05_random"]),
            decide("position", "lost at a random place minus lost at its own, both 5 %", more["position_size05"]),
            decide("direction", "lost turned minus lost upright, both 5 %", more["direction_size05"]),
        ]
        if "garments" in measured:
            words, lost = "lost by the robust network minus the plain one", measured["garments"]["robust_loses_more"]
            checks.append(decide("robust-networks", words, lost, opposed_below=-math.inf))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        counts = {name: count for name, count in measured["left_out"].items() if count}
        left = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        return f"{measured['edited']} photos were edited{f'; left out: {left}' if left else ''}."
