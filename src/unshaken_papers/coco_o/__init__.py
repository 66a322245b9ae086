"""`coco-o`: detectors lose much of their mAP in other styles, along a line that some components rise above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

DOMAINS = ("weather", "painting", "handmake", "cartoon", "tattoo", "sketch")
"""The six renderings of the test scenes, by the names of their stressors."""
CLEAN, PLAIN, STYLED, CELLS, FROZEN = "clean", "plain", "styled", "cells", "frozen"
ARMS = (PLAIN, STYLED, CELLS, FROZEN)
"""The plain detector, with augmentation, with another head, and on the maps of a pretrained network."""
HARD = ("sketch", "tattoo")
"""Of which the publication finds that they cost most."""


@row(__file__)
class CocoOPaper(Paper):
    """Do detectors lose mAP in other styles along a line, and which components rise above it?

    Small detectors of garments in made scenes: trained plainly for several numbers of steps, with drawn colours, blur
    and noise, with another head, and on the maps of a pretrained network; tested on the same scenes in six styles.
    """

    seeds: int = Field(ge=2, description="repetitions, each with scenes and networks of its own")
    scenes: PositiveInt = Field(description="training scenes")
    tested: int = Field(ge=2, description="test scenes, each in seven forms")
    garments: PositiveInt = Field(description="images of each garment from which scenes are drawn")
    steps: tuple[PositiveInt, ...] = Field(
        min_length=2, description="steps of the plain detectors; the others take the last number"
    )
    batch_size: PositiveInt = Field(description="scenes of a step")
    lr: PositiveFloat = Field(description="largest learning rate, of AdamW")
    width: PositiveInt = Field(description="channels of the detectors")
    layer: str = Field(description="layer of the pretrained network whose maps a detector sees")

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        cost = measured["map"][PLAIN][CLEAN]["value"] - measured["map"][STYLED][CLEAN]["value"]
        return f"On scenes as they are augmentation costs {100 * cost:.1f} points of mAP; 3 or fewer were expected."
