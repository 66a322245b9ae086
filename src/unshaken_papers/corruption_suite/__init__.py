"""`corruption-suite`: the common corruptions, and what training with one of them gains on the others."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

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
NETS: Mapping[str, tuple[str, ...]] = {"plain": (), "noise": ("noise:sigma=0.1,least=0",)}
"""Network to the recipes that are added to its training: none, or Gaussian noise of a deviation drawn from 0 to 0.1."""


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
    photo_nets: tuple[str, ...] = Field(
        description="SPECs of the pretrained networks, from the smallest to the largest",
    )

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, self.photo_data] if self.photos else [data]
