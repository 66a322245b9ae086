"""`noiser`: a network that learned to repeat noise, and never saw a photo, enhances photos taken in low light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide

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
UNIT = "dB"


@register("noiser", reference="Zhang et al. 2022, arXiv:2211.04700")
class NoiserPaper(Paper):
    """Does a network that was trained on noise alone enhance dark photos, and does a classifier gain by it?

    Photos are darkened and overexposed, enhanced, and compared with what they were before; beside it stand the same
    network without its normalisation, and channels brought to a mean and a deviation, which needs no network.
    """

    title: ClassVar[str] = (
        "Noise Self-Regression: A New Learning Paradigm to Enhance Low-Light Images Without Task Data"
    )
    claim: ClassVar[str] = (
        "A network of about a thousand weights with one instance normalisation, trained only to repeat Gaussian noise, "
        "enhances low-light photos, and suppresses overexposure, without having seen a photo."
    )
    summary: ClassVar[str] = "A network that learned to repeat noise, and never saw a photo, enhances dark photos."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "dark": ClaimPart(
            statement="It brings dark photos near to what they were.",
            rule=f"Shown if the mean PSNR against the original exceeds the dark photo's by more than {GAIN:g} dB, by "
            "the interval over the seeds; contradicted if it is lower.",
        ),
        "over": ClaimPart(statement="It suppresses overexposure, too.", rule="As for dark, on overexposed photos."),
        "luminance": ClaimPart(
            statement="It brings the brightness of dark and of overexposed photos to the middle.",
            rule=f"Shown if the mean luminance of both, enhanced, lies less than {NEAR} from {MIDDLE}, by the "
            f"intervals over the seeds; contradicted if one of them lies more than {2 * NEAR:g} from it.",
        ),
        "norm": ClaimPart(
            statement="The normalisation is what does it.",
            rule=f"Shown if the gain in PSNR of dark photos exceeds that of the same network without it by more than "
            f"{GAIN:g} dB, by the interval over the seeds; contradicted if it is less.",
        ),
        "camera": ClaimPart(
            statement="It enhances photos that a camera took with too little light, noise and all.",
            rule="As for dark, but for any gain above 0, on photos taken with 1/32 of the light by a noisy sensor.",
            central=False,
        ),
        "classifier": ClaimPart(
            statement="A classifier recognises the enhanced photo better than the dark one.",
            rule="Shown if the accuracy on photos of the camera, enhanced, exceeds that without, by the interval over "
            "the photos of the mean over seeds; contradicted if it is lower.",
            central=False,
        ),
        "better": ClaimPart(
            statement="It is better than what needs no training: each channel brought to mean 1/2 and deviation 1/4.",
            rule="Shown if its mean PSNR on dark photos exceeds that, by the interval over the seeds; contradicted if "
            "it is lower.",
            central=False,
        ),
        "published-sets": ClaimPart(
            statement="On LOL it reaches 17.4 dB, more than methods that train on photos.",
            untried="LOL and LSRW are not here; docs/low_light.md has the lines that measure a folder of pairs.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "LOL: PSNR 17.36, SSIM .59; about 1,000 weights, a minute of training, 1.2 ms at 600 x 400 (GPU)",
        "pilot": "40 photos, one seed: dark 7.5 to 17.3 dB, overexposed 7.3 to 17.2, clean 18.0; luminance .49; "
        "without normalisation 7.4; standardised 18.7",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gain.dark": ("PSNR of dark photos, gain by the enhancement", UNIT),
        "gain.over": ("The same, overexposed photos", UNIT),
        "gain.camera": ("The same, photos of a camera with 1/32 of the light", UNIT),
        "no_norm.dark": ("PSNR of dark photos, gain by the network without normalisation", UNIT),
        "better.dark": ("PSNR of dark photos, enhanced minus standardised", UNIT),
        "luminance.noiser.dark": ("Mean luminance of dark photos, enhanced", "luminance"),
        "accuracy.given.camera": ("A classifier on photos of the camera", "accuracy"),
        "accuracy.noiser.camera": ("The same, enhanced", "accuracy"),
        "accuracy_gain.clean": ("The classifier on clean photos, gain by the enhancement", "accuracy"),
        "hurt.dark": ("Dark photos that are further from the original when enhanced", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Pairs are made of photos: by a curve (0.35 x^2.2, in 8 bits, and its mirror), and by a model of a sensor.",
        "The loss and the noise are those of a reimplementation, as the publication's own could not be read.",
        "The learning rate falls along half a cosine from twice the reimplementation's constant one.",
        "Borders are reflected; the reimplementation pads with zeros, which leaves frames.",
    )
    data: ClassVar[str] = "imagenet-sample"
    model: ClassVar[str] = "imagenet:efficientnet-lite0"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "shown": {"psnr": "double", "ssim": "double", "luminance": "double", "spread": "double"},
        "cost": {"parameters": "int32", "step_seconds": "double", "image_seconds": "double"},
    }
    full: ClassVar[Mapping[str, Any]] = {"photos": 300}

    seeds: int = Field(3, ge=2, description="networks of each kind")
    photos: int = Field(60, ge=2, description="photos, each in four exposures")
    hidden: PositiveInt = Field(16, description="channels of the hidden layer")
    sigma: PositiveFloat = Field(3.0, description="deviation of the noise before it is clipped to [-1, 1]")
    steps: PositiveInt = Field(2000, description="of training")
    lr: PositiveFloat = Field(4e-4, description="largest learning rate of Adam")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        gain = measured["gain"]
        return [
            decide("dark", "PSNR of dark photos in dB, enhanced minus dark", gain[DARK], above=GAIN),
            decide("over", "PSNR of overexposed photos in dB, enhanced minus overexposed", gain[OVER], above=GAIN),
            *(self._middle(exposure, measured["luminance"][NOISER][exposure]) for exposure in (DARK, OVER)),
            decide("norm", "gain of dark photos in dB, minus that without normalisation", measured["norm"], above=GAIN),
            decide("camera", "PSNR of photos of the camera in dB, enhanced minus dark", gain[CAMERA]),
            decide(
                "classifier", "accuracy on photos of the camera, enhanced minus dark", measured["accuracy_gain"][CAMERA]
            ),
            decide("better", "PSNR of dark photos in dB, enhanced minus standardised", measured["better"][DARK]),
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
