"""`textile`: a network that sees a texture tiled measures how tileable it is, and is a loss that makes it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

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


@register("textile", reference="Rodriguez-Pardo et al. 2024, arXiv:2403.12961")
class TextilePaper(Paper):
    """Does a network need to see a texture tiled to judge whether it tiles, and does its gradient remove seams?

    Small networks on made textures, labelled by construction: whole periods, and cuts that do not repeat.
    """

    title: ClassVar[str] = "TexTile: A Differentiable Metric for Texture Tileability"
    claim: ClassVar[str] = (
        "A classifier that sees the tiled texture, with attention over all places, measures tileability; as it has a "
        "gradient, it makes textures tileable that are not."
    )
    summary: ClassVar[str] = "A network that sees a texture tiled measures tileability, and its gradient removes seams."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "measures": ClaimPart(
            statement="The network tells textures that tile from those that do not.",
            rule=f"Shown if its AUROC on the families of its training exceeds {GOOD}, by the interval over the seeds; "
            "contradicted if it is below 0.5.",
        ),
        "tiling": ClaimPart(
            statement="It must see the texture tiled.",
            rule=f"Shown if its AUROC exceeds that of the same network on the texture as it is by more than {MARGIN}, "
            "by the interval over the seeds; contradicted if it is lower.",
        ),
        "loss": ClaimPart(
            statement="As a loss it makes textures tileable, and does not only deceive the network.",
            rule="Shown if, by the intervals over the seeds, textures optimised for one network rise in the score of "
            "another one that they were not optimised for, and their mean seam ratio falls below half of what it was; "
            "contradicted if the other score falls, or the seam ratio grows.",
        ),
        "closed-form": ClaimPart(
            statement="It measures better than the seam ratio, which needs no training.",
            rule="Shown if its AUROC on the families of its training exceeds the seam ratio's, by the interval over "
            "the seeds; contradicted if it is lower.",
            central=False,
        ),
        "unseen": ClaimPart(
            statement="That holds for a family of textures that it has not seen.",
            rule="As for closed-form, on a family held out of the training.",
            central=False,
        ),
        "attention": ClaimPart(
            statement="The attention helps.",
            rule="Shown if the AUROC exceeds that of the network without attention, by the interval over the seeds; "
            "contradicted if it is lower.",
            central=False,
        ),
        "real": ClaimPart(
            statement="It holds for real textures.",
            untried="made textures are the row's own; for real ones install Debian's openarena-081-textures, unpack "
            "its pk3 files into class folders, and give --data 'folder:DIR?size=128'.",
            central=False,
        ),
        "synthesis": ClaimPart(
            statement="Methods of synthesis that are made to tile score higher, while measures of quality do not tell.",
            untried="no method of texture synthesis is here; needs at least the toy ones.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "108.5 million parameters on a large annotated collection; its accuracy could not be read",
        "pilot": "AUROC .994 on four families against .954 of the seam ratio, .821 against .856 on the unseen one; "
        "untiled .686",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "tiling": ("AUROC on seen families, gain by tiling", "AUROC"),
        "auroc.seen.textile": ("On seen families, tiled", "AUROC"),
        "auroc.seen.untiled": ("On seen families, not tiled", "AUROC"),
        "auroc.seen.seam": ("On seen families, the seam ratio", "AUROC"),
        "auroc.unseen.textile": ("On the unseen family, tiled", "AUROC"),
        "auroc.unseen.seam": ("On the unseen family, the seam ratio", "AUROC"),
        "loss.own": ("Optimised textures, rise of the score of the network", "score"),
        "loss.other": ("The same, of a network that they were not optimised for", "score"),
        "loss.ratio": ("The same, share of the mean seam ratio that is left", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 63,523 parameters on made grey textures of 64 pixels; the publication's has 108.5 million.",
        "The tiles are laid out by moving the texture by half, which has the same seams in a quarter of the pixels; a "
        "further channel marks them.",
        "Breaking cuts are part of the data, not augmentations: of half a period, short of it, turned, stretched.",
        "The other network of the loss is the one without attention.",
    )
    data: ClassVar[str] = MADE
    model: ClassVar[str] = "tile-net"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "seams": {"tileable": "bool", "ratio": "double", "energy": "double"},
        "optimised": {
            "own_before": "double", "own_after": "double", "other_before": "double", "other_after": "double",
            "ratio_before": "double", "ratio_after": "double", "change": "double",
        },
    }  # fmt: skip
    full: ClassVar[Mapping[str, Any]] = {"textures": 3200, "epochs": 10, "tested": 800}

    seeds: int = Field(3, ge=2, description="networks of each kind, each with textures of its own")
    textures: int = Field(1600, ge=8, description="textures for training, half of them broken")
    tested: int = Field(400, ge=16, description="textures for testing, of each kind of family, half of them broken")
    side: int = Field(64, ge=16, description="of a texture in pixels")
    epochs: PositiveInt = Field(7, description="of training")
    optimised: PositiveInt = Field(24, description="broken textures that are optimised")
    steps: PositiveInt = Field(40, description="steps of that optimisation")
    rate: PositiveFloat = Field(0.01, description="Adam's step, in pixels from 0 to 1")

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
