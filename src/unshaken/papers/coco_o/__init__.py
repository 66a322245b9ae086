"""`coco-o`: detectors lose about half of their mAP in other styles, along a line that augmentation rises above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, ClaimPart, Paper, PlusSeparated, decide, in_every_seed

DOMAINS = ("weather", "painting", "handmake", "cartoon", "tattoo", "sketch")
"""The six renderings of the test scenes, by the names of their stressors."""
CLEAN, PLAIN, STYLED = "clean", "plain", "styled"
HARD = ("sketch", "tattoo")
DROP, FIT, WORST = 0.2, 0.8, 3
"""Least relative drop; least correlation along the line; how many of the worst domains must hold both of `HARD`."""


@register("coco-o", reference="Mao et al. 2023, arXiv:2307.12730")
class CocoOPaper(Paper):
    """Do detectors lose mAP in other styles along a line, and does augmentation rise above it?

    Small detectors of garments in made scenes, trained plainly for several numbers of epochs, and with random colours,
    blur and noise; tested on the same scenes rendered in six styles.
    """

    title: ClassVar[str] = "COCO-O: A Benchmark for Object Detectors under Natural Distribution Shifts"
    claim: ClassVar[str] = (
        "Six natural shifts of style halve the mAP of ordinary detectors; over detectors, mAP under the shifts follows "
        "a line in mAP without, and what rises above it comes from backbone, pre-training and augmentation."
    )
    summary: ClassVar[str] = "Other styles halve mAP along a line, and augmentation rises above it."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "drop": ClaimPart(
            statement="Other styles take about half of an ordinary detector's mAP.",
            rule="Shown if the relative drop of the plain detector, from the mean of the six mAPs, exceeds "
            f"{DROP} by the interval over the seeds; contradicted if it is below 0.",
        ),
        "line": ClaimPart(
            statement="mAP under the shifts follows a line in mAP without them.",
            rule=f"Shown if over the plain detectors of all numbers of epochs and seeds the correlation of the two is "
            f"{FIT} or more.",
        ),
        "augmentation": ClaimPart(
            statement="Strong augmentation gives effective robustness.",
            rule="Shown if effective robustness of the detector with augmentation, less that of the plain one, both "
            "against a line through the seed's own plain detectors, is above 0 by the interval over the seeds; "
            "contradicted if it is below.",
        ),
        "lines-are-hard": ClaimPart(
            statement="Styles that keep least of colour and texture cost most.",
            rule=f"Shown if in every seed sketch and tattoo are both among the {WORST} domains of the lowest mAP.",
            central=False,
        ),
        "components": ClaimPart(
            statement="The backbone matters for effective robustness, the head does not.",
            untried="One network is trained; a pretrained backbone on scenes takes longer than a row may.",
            central=False,
        ),
        "detectors": ClaimPart(
            statement="Detection transformers do not help, and large vision-language detectors make a leap.",
            untried="Neither can be trained here, and COCO-O itself is a download of its own.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "Faster R-CNN R50: mAP 37.4 on COCO and 16.4 on COCO-O, a relative drop of 55.7 %; the line is "
        "0.45 of the mAP on COCO (read off a figure)"
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gain": ("Effective robustness, augmentation minus plain", "mAP"),
        "map.plain.clean": ("Plain detector, scenes as they are", "mAP"),
        "map.plain.shifted": ("Plain detector, mean of six styles", "mAP"),
        "map.styled.clean": ("With augmentation, scenes as they are", "mAP"),
        "map.styled.shifted": ("With augmentation, mean of six styles", "mAP"),
        "drop.plain": ("Relative drop, plain", "share"),
        "drop.styled": ("Relative drop, with augmentation", "share"),
        "correlation": ("Correlation of mAP under the styles and without, plain detectors", "correlation"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Scenes of 64 x 64 pixels with garments of four classes on a texture, in the place of COCO; the six styles are "
        "filters over the same scenes, not pictures that people have made.",
        "A detector is a small U-Net that marks the core of each object; a box follows from each connected region. It "
        "puts out no boxes of low scores.",
        "The line goes through one network after several numbers of epochs, not through networks of many kinds.",
        "Intervals are over seeds, each with scenes and a network of its own.",
        "Augmentation holds no edges and no levels, of which three of the styles are made; blur and noise it has.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "unet"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "objects": {"boxes": "double[]", "kinds": "int64[]"},
        "detections": {"boxes": "double[]", "kinds": "int64[]", "scores": "double[]"},
    }
    full: ClassVar[Mapping[str, Any]] = {"scenes": 2000, "tested": 500, "epochs": (3, 6, 12, 20)}

    seeds: int = Field(3, ge=2, description="repetitions, each with scenes of its own")
    scenes: PositiveInt = Field(500, description="training scenes")
    tested: PositiveInt = Field(150, description="test scenes, each in seven forms")
    garments: PositiveInt = Field(1000, description="images of each garment from which scenes are drawn")
    epochs: Annotated[tuple[int, ...], PlusSeparated] = Field(
        (2, 4, 7, 10), min_length=2, description="epochs of the plain detectors, the last one's being the usual number"
    )
    batch_size: PositiveInt = Field(8, description="scenes of a step")
    lr: PositiveFloat = Field(0.005, description="largest learning rate, of Adam")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `parts`."""
        r = measured["correlation"]
        return [
            decide("drop", "relative drop of the plain detector", measured["drop"][PLAIN], above=DROP),
            Check(f"correlation over the plain detectors: {r:.3f}, wanted {FIT} or more", r >= FIT, "line"),
            decide("augmentation", "effective robustness, augmentation minus plain", measured["gain"]),
            *in_every_seed(measured, self._worst),
        ]

    def _worst(self, part: Mapping[str, Any]) -> list[Check]:
        by = {domain: part["map"][PLAIN][domain] for domain in DOMAINS}
        worst = sorted(by, key=by.__getitem__)[:WORST]
        words = f"the lowest mAPs are {', '.join(f'{d} {by[d]:.3f}' for d in worst)}"
        return [Check(words, set(HARD) <= set(worst), "lines-are-hard")]
