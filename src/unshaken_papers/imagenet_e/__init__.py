"""`imagenet-e`: what other backgrounds, sizes, places and directions of the same object cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row


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


@row(__file__)
class ImageNetEPaper(Paper):
    """How much accuracy is lost when the object stays and its background, size, place or direction changes?

    Pretrained networks of three sizes on ImageNet photos that all of them classify correctly, edited once for all; and
    a network trained against attacks beside a plain one on small garments.
    """

    photos: PositiveInt = Field(description="photos; those that all networks classify correctly are edited")
    seeds: PositiveInt = Field(description="draws of noise, backgrounds, places and angles")
    garments: NonNegativeInt = Field(description="garments for the robust network; 0 leaves them out")
    map: str = Field(description="attribution method that gives the masks, on the first network")
    threshold: float = Field(description="share of the map's largest value that a pixel exceeds", gt=0, lt=1)
    grabcut: bool = Field(description="whether GrabCut moves the edges of masks to those of the photo")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        beyond = [measured["beyond"][str(net)][RANDOM] for net in range(NETS)]
        second = sorted(beyond, key=lambda figure: float(figure["low"]))[-2]
        words = "lost by another photo's background minus the mirrored own one, the second of three networks"
        checks = [decide("background", words, second), *super().judge(measured)]
        if "garments" in measured:
            words, lost = "lost by the robust network minus the plain one", measured["garments"]["robust_loses_more"]
            checks.append(decide("robust-networks", words, lost, opposed_below=-math.inf))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        counts = {name: count for name, count in measured["left_out"].items() if count}
        left = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        return f"{measured['edited']} photos were edited{f'; left out: {left}' if left else ''}."
