"""`corruption-suite`: the common corruptions, and what training with one of them gains on the others."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, PlusSeparated, decide, row

GROUPS: Mapping[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
"""The 15 corruptions of ImageNet-C's test set."""
NAMES = tuple(name for group in GROUPS.values() for name in group)
OTHERS = (
    *("blue_noise_sample", "brownish_noise", "checkerboard_cutout", "circular_motion_blur", "inverse_sparkles"),
    *("lines", "pinch_and_twirl", "ripple", "sparkles", "transverse_chromatic_abberation"),
)
"""The ten corruptions of CIFAR-10-C-bar, chosen because they look unlike those."""
SEVERITIES = (1, 2, 3, 4, 5)
JUDGED = (1, 3, 5)
"""Severities between which the error must rise; those in between differ little, and photos have these alone."""
NETS: Mapping[str, tuple[str, ...]] = {"plain": (), "noise": ("noise:sd=0.1,least=0",)}
"""Network to the recipes that are added to its training: none, or Gaussian noise of a deviation drawn from 0 to 0.1."""
APART = 0.02
"""How much more the seen kind of corruption must gain than another."""


@row(__file__)
class CorruptionSuitePaper(Paper):
    """Does error grow with the severity of a corruption, and does training with noise gain on noise alone?

    Small networks on CIFAR-10, trained with and without Gaussian noise, on the 15 corruptions at five severities; and
    pretrained networks of three sizes on photos.
    """

    seeds: int = Field(ge=2, description="networks of each kind")
    images: PositiveInt = Field(description="training images")
    epochs: PositiveInt = Field(description="of training")
    tested: PositiveInt = Field(description="test images, each in 125 corrupted forms")
    photos: NonNegativeInt = Field(description="photos for the pretrained networks; 0 leaves them out")
    photo_data: str = Field(description="SPEC of the photos")
    photo_nets: Annotated[tuple[str, ...], PlusSeparated] = Field(
        description="SPECs of the pretrained networks, from the smallest to the largest",
    )

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for group in GROUPS:
            for low, high in pairwise(JUDGED):
                words = f"{group}: error of plain networks at severity {high} minus {low}"
                checks.append(decide("severity", words, measured["rise"][group][str(high)]))
        gain, less = measured["gain"], measured["noise_gains_more_than"]
        checks.append(decide("noise", "error under noise, plain training minus training with noise", gain["noise"]))
        for group in [g for g in GROUPS if g != "noise"]:
            words = f"gain under noise minus gain under {group}"
            checks.append(decide("by-kind", words, less[group], above=APART, opposed_below=0.0))
        checks.append(decide("mean", "mean error, plain training minus training with noise", gain["mean"]))
        if "c_bar" in gain:  # not in results of before this part was tried
            words = "mean error over C-bar, plain training minus training with noise"
            checks.append(decide("other-kinds", words, gain["c_bar"]))
        if "photos" in measured:
            checks += self._photos(measured["photos"])
        return checks

    def _photos(self, photos: Mapping[str, Any]) -> list[Check]:
        """What the pretrained networks are judged by."""
        words = "mean error on corrupted photos, the smallest network minus the largest"
        checks = [decide("larger", words, photos["lowered"])]
        for group in GROUPS:
            for low, high in pairwise(JUDGED):
                words = f"photos, {group}: error at severity {high} minus {low}"
                checks.append(decide("photos", words, photos["rise"][group][str(high)]))
        return checks
