"""`clip-holistic`: small image encoders trained on captions, over the aspects of robustness that show at this size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row, seeds_in

ZERO_SHOT = ("base", "fewer", "more", "sigmoid", "styled", "vit")
"""The family of zero-shot models, each one factor away from the first."""
TUNED, TEXT_HEAD = "tuned", "text-head"
"""The first of them, fine-tuned with a head of its own, and with the captions' vectors as a fixed head."""
FACTORS = ("darker", "brighter", "smaller", "larger", "blocked", "partial", "grey", "shuffled", "edges")
MILD, STRONG = ("gaussian_noise-1", "defocus_blur-1"), ("gaussian_noise-5", "defocus_blur-5")
OTHERS = ("mnist", "fashion-mnist")
PROMPTS = (1, 8, 32)
AREA = 0.8


@row(__file__)
class ClipHolisticPaper(Paper):
    """Do small models of image and caption show what large ones are said to?

    Image encoders learn captions of CIFAR-10, which name colour and size as augmentation made them, against a frozen
    text encoder: one of each architecture, size, source and loss. The first is fine-tuned.
    """

    images: PositiveInt = Field(description="training images of the first model; half and twice of others")
    passes: PositiveInt = Field(description="image passes of each training on captions")
    tuning: PositiveInt = Field(description="image passes of each fine-tuning")
    test: PositiveInt = Field(description="test images")
    choosing: PositiveInt = Field(description="further test images, on which temperatures are fitted")
    encoder: str = Field(description="frozen text encoder: minilm, hashed-pieces or a folder")
    seeds: PositiveInt = Field(description="seeds of the whole experiment")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [*super().judge(measured), *in_every_seed(measured, seed_checks)]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        found = ", ".join(f"{part['base']['clean']['value']:.1%}" for _, part in seeds_in(measured))
        return f"The first model's zero-shot accuracy is {found}."


def seed_checks(part: Mapping[str, Any]) -> list[Check]:
    """The checks of one seed."""
    return [
        decide("gain", "accuracy, fine-tuned less zero-shot", part["gain"]),
        decide("cost", "zero-shot accuracy by held-out words, before less after", part["cost"]),
        *(
            decide("abnormal", f"AUROC by MCM, {name}", area, above=AREA, opposed_below=0.5)
            for name, area in part["base"]["abnormal"].items()
            if name in OTHERS
        ),
    ]
