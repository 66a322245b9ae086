"""`textile`: a network that sees a texture tiled measures how tileable it is, and is a loss that makes it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

MADE = "made-textures"
SHOWN = ("noise", "cells", "stripes", "bricks")
UNSEEN = ("wallpaper",)
NETS: Mapping[str, Mapping[str, bool]] = {
    "textile": {},
    "untiled": {"tiled": False},
    "no-attention": {"attention": False},
}
"""Network to the options of `TileNet`: the publication's idea, and what is left without the tiling or the attention."""
HALF = 0.5


@row(__file__)
class TextilePaper(Paper):
    """Does a network need to see a texture tiled to judge whether it tiles, and does its gradient remove seams?

    Small networks on made textures, labelled by construction: whole periods, and cuts that do not repeat.
    """

    seeds: int = Field(ge=2, description="networks of each kind, each with textures of its own")
    textures: int = Field(ge=8, description="textures for training, half of them broken")
    tested: int = Field(ge=16, description="textures for testing, of each kind of family, half of them broken")
    side: int = Field(ge=16, description="of a texture in pixels")
    epochs: PositiveInt = Field(description="of training")
    optimised: PositiveInt = Field(description="broken textures that are optimised")
    steps: PositiveInt = Field(description="steps of that optimisation")
    rate: PositiveFloat = Field(description="Adam's step, in pixels from 0 to 1")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [] if data == MADE else [data]

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        loss = measured["loss"]
        left = "half of the mean seam ratio minus the share of it that is left"
        return [
            *super().judge(measured),
            decide("loss", left, loss["half"], opposed_below=-HALF),
        ]
