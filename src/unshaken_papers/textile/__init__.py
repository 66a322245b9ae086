"""`textile`: a network that sees a texture tiled measures how tileable it is, and is a loss that makes it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

MADE = "made-textures"
SEEN = ("noise", "cells", "stripes", "bricks")
UNSEEN = ("wallpaper",)
NETS: Mapping[str, Mapping[str, bool]] = {
    "textile": {},
    "untiled": {"tiled": False},
    "no-attention": {"attention": False},
}
"""Network to the options of `TileNet`: the publication's idea, and what is left without the tiling or the attention."""
GOOD, MARGIN = 0.9, 0.1
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
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        auroc, loss = measured["auroc"], measured["loss"]
        checks = [
            decide("measures", "AUROC on seen families", auroc["seen"]["textile"], above=GOOD, opposed_below=0.5),
            decide("tiling", "AUROC on seen families, tiled minus not tiled", measured["tiling"], above=MARGIN),
            decide("loss", "score of the other network, after minus before", loss["other"]),
            decide(
                "loss",
                "half of the mean seam ratio minus the share of it that is left",
                loss["half"],
                opposed_below=-HALF,
            ),
            decide("closed-form", "AUROC on seen families, minus the seam ratio's", measured["gain"]["seen"]),
            decide("attention", "AUROC on seen families, with attention minus without", measured["attention"]),
        ]
        if "unseen" in measured["gain"]:
            words = "AUROC on the unseen family, minus the seam ratio's"
            checks.append(decide("unseen", words, measured["gain"]["unseen"]))
        return checks
