"""`noiser`: a network that learned to repeat noise, and never saw a photo, enhances photos taken in low light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

GIVEN, CONTROL, NOISER, NO_NORM = "given", "standardised", "noiser", "no-norm"
NETS: Mapping[str, Mapping[str, Any]] = {NOISER: {}, NO_NORM: {"norm": "none"}}
"""Network to its settings that differ: the publication's idea, and what is left without the normalisation."""
CLEAN, DARK, OVER, CAMERA = "clean", "dark", "over", "camera"
EXPOSURES = (CLEAN, DARK, OVER, CAMERA)
"""Photos as they are; darkened and overexposed by a curve; taken with 1/32 of the light by a camera's sensor."""
SEVERITY = 4
"""Of the underexposure by the camera: five stops."""
GAIN = 5.0
MIDDLE, NEAR = 0.5, 0.1


@row(__file__)
class NoiserPaper(Paper):
    """Does a network that was trained on noise alone enhance dark photos, and does a classifier gain by it?

    Photos are darkened and overexposed, enhanced, and compared with what they were before; beside it stand the same
    network without its normalisation, and channels brought to a mean and a deviation, which needs no network.
    """

    seeds: int = Field(ge=2, description="networks of each kind")
    photos: int = Field(ge=2, description="photos, each in four exposures")
    hidden: PositiveInt = Field(description="channels of the hidden layer")
    sigma: PositiveFloat = Field(description="deviation of the noise before it is clipped to [-1, 1]")
    steps: PositiveInt = Field(description="of training")
    lr: PositiveFloat = Field(description="largest learning rate of Adam")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        words, over = "PSNR of overexposed photos in dB, enhanced minus overexposed", measured["gain"][OVER]
        return [
            *super().judge(measured),
            decide("over", words, over, above=GAIN),
            *(self._middle(exposure, measured["luminance"][NOISER][exposure]) for exposure in (DARK, OVER)),
        ]

    @staticmethod
    def _middle(exposure: str, luminance: Mapping[str, Any]) -> Check:
        ends = [abs(luminance[end] - MIDDLE) for end in ("low", "high")]
        away = {"value": abs(luminance["value"] - MIDDLE), "high": max(ends), "low": 0.0}
        if not luminance["low"] < MIDDLE < luminance["high"]:
            away["low"] = min(ends)
        near = {"value": NEAR - away["value"], "low": NEAR - away["high"], "high": NEAR - away["low"]}
        return decide(
            "luminance",
            f"{NEAR} minus the distance of the mean luminance of {exposure} photos, enhanced, from {MIDDLE}",
            near,
            opposed_below=-NEAR,
        )

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        cost, accuracy = measured["cost"], measured["accuracy_gain"][CLEAN]
        return (
            f"{cost['parameters']} weights; {cost['step_seconds'] * self.steps:.0f} s of training and "
            f"{1000 * cost['image_seconds']:.0f} ms for an image of 600 x 400 on this machine. On clean photos the "
            f"enhancement changes the classifier's accuracy by {100 * accuracy['value']:+.1f} points."
        )
