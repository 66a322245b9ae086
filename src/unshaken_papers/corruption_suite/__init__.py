"""`corruption-suite`: the common corruptions, and what training with one of them gains on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide

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


@register("corruption-suite", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261")
class CorruptionSuitePaper(Paper):
    """Does error grow with the severity of a corruption, and does training with noise gain on noise alone?

    Small networks on CIFAR-10, trained with and without Gaussian noise, on the 15 corruptions at five severities; and
    pretrained networks of three sizes on photos.
    """

    title: ClassVar[str] = "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"
    claim: ClassVar[str] = (
        "Common corruptions cost networks accuracy, the more the severer they are. What a change of training gains "
        "differs by the kind of corruption, so that robustness is to be measured over many kinds."
    )
    summary: ClassVar[str] = "Error grows with severity; training with noise gains on noise, and less on other kinds."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "severity": ClaimPart(
            statement="In every group of corruptions the error grows with the severity.",
            rule="Shown if the mean error of the plain networks rises in each of the four groups from severity 1 to "
            "3 and to 5, by intervals over the seeds; contradicted if it falls.",
        ),
        "noise": ClaimPart(
            statement="Training with Gaussian noise lowers the error under noise.",
            rule="Shown if the mean error under the three kinds of noise is lower after training with noise, by the "
            "interval over the seeds; contradicted if it is higher.",
        ),
        "by-kind": ClaimPart(
            statement="That gain is one of the kind of corruption: other groups gain less.",
            rule=f"Shown if the gain under noise exceeds that of each of the other three groups by more than {APART}, "
            "by the intervals over the seeds; contradicted if one of them gains more than noise does.",
        ),
        "mean": ClaimPart(
            statement="The mean error over all corruptions falls with it.",
            rule="Shown if the mean over the 15 corruptions is lower after training with noise, by the interval over "
            "the seeds; contradicted if it is higher.",
            central=False,
        ),
        "larger": ClaimPart(
            statement="Larger networks of one family are more robust.",
            rule="Shown if the mean error over the corruptions of the photos is lower for the largest pretrained "
            "network than for the smallest, paired by photo; contradicted if it is higher.",
            central=False,
        ),
        "photos": ClaimPart(
            statement="On photos, too, the error grows with the severity in every group.",
            rule="Shown if in each group the error of the pretrained networks rises from severity 1 to 3 and to 5, "
            "paired by photo; contradicted if it falls.",
            central=False,
        ),
        "other-kinds": ClaimPart(
            statement="A gain on these corruptions carries over to others that look different (C-bar).",
            rule="Shown if the mean error over the ten corruptions of CIFAR-10-C-bar is lower after training with "
            "noise, by the interval over the seeds; contradicted if it is higher.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "ResNet-50 on ImageNet-C: mCE 76.7, with AugMix 65.3; a WideResNet on CIFAR-10-C: mean error 26.9 "
        "at 5.33 on clean images",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gain.noise": ("Error under noise, lowered by training with noise", "error"),
        "gain.blur": ("The same, blur", "error"),
        "gain.weather": ("The same, weather", "error"),
        "gain.digital": ("The same, digital", "error"),
        "gain.mean": ("The same, mean over all 15 corruptions", "error"),
        "gain.c_bar": ("The same, mean over ten that look unlike them (C-bar)", "error"),
        "error.plain": ("Mean error over all 15, plain training", "error"),
        "error.noise": ("Mean error over all 15, training with noise", "error"),
        "clean.plain": ("Clean images, plain training", "error"),
        "clean.noise": ("Clean images, training with noise", "error"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Networks of 52,110 parameters on CIFAR-10, and pretrained EfficientNets of mobile size on a few photos.",
        "Images are made here, not read from the published files; a photo is corrupted after it is cut for its "
        "network, and not saved as JPEG.",
        "Error is the plain mean over corruptions and severities, not in units of AlexNet's.",
        "Frost has textures that are computed, as the published photos of ice are not free.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "small-cnn"
    full: ClassVar[Mapping[str, Any]] = {"seeds": 5, "tested": 500, "photos": 40}

    seeds: int = Field(3, ge=2, description="networks of each kind")
    images: PositiveInt = Field(10_000, description="training images")
    epochs: PositiveInt = Field(6, description="of training")
    tested: PositiveInt = Field(200, description="test images, each in 125 corrupted forms")
    photos: NonNegativeInt = Field(10, description="photos for the pretrained networks; 0 leaves them out")
    photo_data: str = Field("imagenet-sample", description="SPEC of the photos")
    photo_nets: Annotated[tuple[str, ...], PlusSeparated] = Field(
        tuple(f"imagenet:efficientnet-lite{i}" for i in range(3)),
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
