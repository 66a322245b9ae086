"""`cross-modal-dilution`: does a plausible sentence beside a text mislead a classifier of image and text?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

CHANGES = ("url", "repeat", "filler", "random", "worst", "relevant", "neutral", "own-words")
"""Added texts: three that mean nothing; one candidate, the worst of all, and the worst of those above the floors; the
worst of as many sentences with words of no class; and the worst above the floors with words of captions."""
CLASSIFIERS = ("fused", "other", "text", "image", "hardened")
"""The searched one; one of another seed, which only sees what was found; one modality alone; trained on dilutions."""
FRESH = "fresh"
"""The worst of all candidates for the hardened classifier itself."""
NEUTRAL = "the worst of as many sentences with words of no class"
TIMES = 2
"""Relative drop that is shown, and how many times that of the filler it is."""


@row(__file__)
class CrossModalDilutionPaper(Paper):
    """Do relevant sentences beside a text mislead a fusion classifier, and more than meaningless ones of equal length?

    Pictures of CIFAR-10 with captions of key words; a head over frozen image features and sentence vectors. Sentences
    name how the picture looks and words of a class that it is confused with, of which no caption is made.
    """

    seeds: int = Field(ge=2, description="repetitions, each with its own captions, networks and candidates")
    images: PositiveInt = Field(description="images that the image network learns from")
    samples: PositiveInt = Field(description="further images, with captions, that heads learn from")
    test: PositiveInt = Field(description="test images")
    epochs: PositiveInt = Field(description="epochs of the image network")
    steps: PositiveInt = Field(description="optimizer steps of each head")
    candidates: int = Field(ge=2, description="candidates of each test image")
    filler: PositiveInt = Field(description="words of the filler")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        content = measured["content"]
        words = f"relative drop less {TIMES} times that of the filler"
        return [
            *super().judge(measured),
            self._content("content", f"{words}, searched classifier", content["fused"]),
            decide("content", f"relative drop minus that by {NEUTRAL}", content["fused"]["beyond_neutral"]),
            self._content("brittle", f"{words}, other classifier", content["other"]),
        ]

    @staticmethod
    def _content(part: str, words: str, effect: Mapping[str, Any]) -> Check:
        """The drop against that of the filler: contradicted where it is below the filler's own drop."""
        check = decide(part, words, effect["beyond_filler"], opposed_below=-math.inf)
        opposed = not check.holds and effect["less_than_filler"]["low"] > 0
        return replace(check, opposed=opposed, short=check.short and not opposed)
