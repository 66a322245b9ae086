"""`natra`: does training on the worst natural edits of images carry over to natural shifts that nobody edited?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

ARMS: Mapping[str, str] = {
    "standard": "",
    "rebuilt": "natra-training:edit=rebuilt",
    "random": "natra-training:edit=random",
    "worst": "natra-training:edit=worst",
}
"""Name of a training to its recipe; the last is NaTra's."""
STANDARD, REBUILT, RANDOM, WORST = ARMS
SHIFTS: Mapping[str, str] = {
    "rotation": "slant",
    "shear": "slant",
    "scale": "extent",
    "thickening": "area",
    "noise": "sharpness",
    "dark": "brightness",
    "bright": "brightness",
    "low-contrast": "contrast",
}
"""Shifts of test images, and the statistic of an image that each moves."""
STATISTICS = ("brightness", "contrast", "area", "sharpness", "extent", "slant")
STAGES = ("start", "shift", "codes", "offset")
ALIKE = 0.7
"""Correlation of an edited direction with a statistic above which shifts of the statistic are not counted."""
"""Accuracy on clean images that may be lost."""


@row(__file__)
class NaTraPaper(Paper):
    """Does a classifier that learned the worst edits along a generator's directions withstand shifts it never saw?

    A small VAE of the training images; directions in closed form, those that change the class by a reference network
    left out; networks trained on images alone, on rebuilt ones, on random edits and on the worst of several.
    """

    images: PositiveInt = Field(description="training images")
    reference: PositiveInt = Field(description="further images, of the reference network")
    epochs: PositiveInt = Field(description="epochs of each training")
    fitting: PositiveInt = Field(description="steps of the VAE, of 100 images")
    latents: PositiveInt = Field(description="length of its code")
    directions: PositiveInt = Field(description="directions that are found; some are left out")
    amplitude: PositiveFloat = Field(description="largest edit; halved while no direction keeps the class")
    draws: PositiveInt = Field(description="random edits, of which the worst is learned")
    attacked: PositiveInt = Field(description="random edits, of which the worst is tested")
    inverted: PositiveInt = Field(description="test images that are inverted by descent")
    inversion: PositiveInt = Field(description="steps of the inversion")
    test: PositiveInt = Field(description="test images")
    seeds: int = Field(ge=2, description="generators, directions and networks of each kind")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        gain, checks = measured["gain"], super().judge(measured)
        words = {"shifts": "images alone", "random": "random edits", "rebuilt": "rebuilt images"}
        for name, other in words.items():
            part = "adversarial" if name == "random" else name
            if name in gain:
                text = f"accuracy under {measured['counted']} counted shifts, worst edits less {other}"
                checks.append(decide(part, text, gain[name]))
            else:
                checks.append(Check("every shift is like a direction that is edited", False, part))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        left = ", ".join(measured["not_counted"].split()) or "none"
        return f"Shifts not counted, as an edited direction is alike: {left}."
