"""`milan`: units described in words, and a network edited by what the words say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row

SMALL = "conv-50k"
MARK = "printed mark"
"""The concept that the glyphs are of."""
DRAWS = 5
"""Random sets of units that the edit is compared with."""
CUE = 0.10
"""The precondition: accuracy that a mark of another class must cost."""
STRENGTHS = (0.0, 0.2, 0.5, 1.0)
"""Values of lambda; the rule rests on the first two."""
LABEL, LABELS = "label", "labels"
"""The names of the single best concept, as network dissection gives it, and of as many as a unit can follow."""
MOST_ATTRIBUTES = 3
"""Attributes that a synthetic unit follows at most."""


@row(__file__)
class MilanPaper(Paper):
    """Do words tell which units to take out, and does mutual information make better words?

    A network learns from pictures of which half bear a small glyph that tells their class; units described as `printed
    mark` are taken out, as many as other pictures say, and it is tested where the glyph is of a random class. And a
    captioner learns from synthetic units annotated in incomplete sentences.
    """

    images: PositiveInt = Field(description="training images, half of them marked")
    tested: PositiveInt = Field(description="test images")
    choosing: PositiveInt = Field(description="further images with random marks, to order and choose units on")
    epochs: PositiveInt = Field(description="epochs of training")
    probes: PositiveInt = Field(description="images that units are described by")
    most: PositiveInt = Field(description="units taken out at most")
    annotated: int = Field(description="synthetic units that the captioner learns from", ge=10, le=800)
    described: int = Field(description="synthetic units held out, to judge descriptions", ge=1, le=100)
    caption_epochs: PositiveInt = Field(description="epochs of the captioner and of the language model")
    seeds: PositiveInt = Field(description="networks")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [*in_every_seed(measured, self._edit), *super().judge(measured)]

    def _edit(self, part: Mapping[str, Any]) -> list[Check]:
        cue = decide("cue", "accuracy that a random mark costs", part["cost_of_mark"], above=CUE)
        if not cue.holds:
            words = "not judged: the network does not follow the mark"
            return [cue, *(Check(words, False, name) for name in ("edit", "random"))]
        beyond = part["over_random"]["value"] - 2 * part["spread_of_random"]
        return [
            cue,
            decide("edit", f"gain without {part['count']} units", part["gain"]),
            decide("random", "gain over random sets", part["over_random"]),
            Check(f"gain over random sets less two standard deviations: {beyond:+.4f}", beyond > 0, "random"),
        ]
