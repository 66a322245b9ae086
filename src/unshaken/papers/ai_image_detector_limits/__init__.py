"""`ai-image-detector-limits`: what noise and attacks leave of detectors of marked and of generated images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, ClaimPart, Paper, decide, pilot

MODEL = "spread spectrum, DCT and learned marks; small"
ERRORS = 3.0
RISE = 0.005
ACCURACY = 0.9
FALL = 0.1
HALF = 0.5
AMPLITUDES = (2, 8)
"""Of the spread-spectrum pattern, in 255ths."""
NOISES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
DENOISED = (0.1, 0.2)
FRACTIONS = (0.1, 0.2, 0.3)
EVERY = 20
"""Timesteps that one step of the way back spans."""
MODES: tuple[Literal["image"], Literal["universal"]] = ("image", "universal")
PEAKS = (1.0, 0.75, 0.5)
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "jpeg": (95, 75, 50, 25),
    "resize": (0.75, 0.5, 0.25),
    "blur": (0.5, 1, 2),
    "noise": (0.01, 0.02, 0.05, 0.1, 0.2),
}
"""JPEG's quality, the share of the side, and deviations in pixels and in [0, 1] pixel units."""
ATTACKED = (1, 2, 4)
"""Radii of PGD on the detector of generated images, in 255ths."""


@register("ai-image-detector-limits", reference="Saberi et al. 2024, arXiv:2310.00076")
class AIImageDetectorLimitsPaper(Paper):
    """Do noise and denoising force errors on detectors of watermarks, and do substitution and blending break the rest?

    Spread-spectrum, DCT and small learned watermarks on CIFAR-10, a small diffusion denoiser of this package to purify
    with; and, beside the claim, a detector of Fashion-MNIST images made by a small diffusion model of this package.
    """

    title: ClassVar[str] = "Robustness of AI-Image Detectors: Fundamental Limits and Practical Attacks"
    claim: ClassVar[str] = (
        "For watermarks that change little, noise and denoising (diffusion purification) force a trade-off: missed "
        "plus false alarms are bounded below by a function of the distance between marked and clean images. Watermarks "
        "that change much fall to adversarial examples of a substitute model, both kinds can be spoofed, and deepfake "
        "classifiers trade robustness for accuracy."
    )
    summary: ClassVar[str] = (
        "Noise and denoising defeat faint watermarks; marks can be attacked by a substitute, and forged."
    )
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "error-bound": ClaimPart(
            statement="After noise and any denoiser, missed plus false alarms are not below a bound that depends on "
            "the distance between marked and clean images.",
            rule="Spread-spectrum marks of 2/255 and 8/255 under noise, a denoiser and diffusion purification, the "
            "threshold fitted on the other half of the images: shown if in no seed they are below the bound by more "
            "than 3 standard errors, contradicted otherwise.",
        ),
        "more-noise": ClaimPart(
            statement="The more noise, the less a detector can tell marked images from clean ones.",
            rule="Shown if AUROC at the largest noise is below that at the least, intervals apart, and never rises by "
            "more than 0.005 on the way; contradicted if the first two are apart the other way.",
        ),
        "purification": ClaimPart(
            statement="Diffusion purification defeats a faint watermark.",
            rule="Mark of 2/255: shown if at each of the three published strengths the interval of missed plus false "
            "alarms lies above one half (1 is chance), contradicted if one lies below.",
        ),
        "image-quality": ClaimPart(
            statement="Denoised images stay nearer to the originals than noisy ones.",
            rule="Shown if the mean PSNR after the denoiser is above that of noise alone, for both marks at each "
            "noise; without intervals it cannot be contradicted.",
            central=False,
        ),
        "substitution": ClaimPart(
            statement="Adversarial examples of a substitute model evade a learned watermark's detector.",
            rule="Shown if each seed's substitute is right on more than 90 % of images and universal PGD of 8/255 on "
            "it takes more than 10 points more of the right bits than uniform noise of 8/255, by the interval; "
            "contradicted if it takes fewer.",
        ),
        "strong-marks": ClaimPart(
            statement="So fall even watermarks that change images much, which purification does not reach.",
            untried="no mark here is known to change images much: the learned one is small and its distance was not "
            "measured; it needs a run with a mark such as StegaStamp or Tree-Ring beside its distance.",
        ),
        "spoofing": ClaimPart(
            statement="Watermarks can be forged: clean images are made to pass for marked.",
            rule="Shown if, with each of the three marks, clean images blended with marked noise pass more often than "
            "with unmarked noise, and if universal PGD on the substitute raises the bits of the learned mark that are "
            "read from clean images above uniform noise; each by the interval. Contradicted where one lies below 0.",
        ),
        "deepfakes": ClaimPart(
            statement="Deepfake classifiers trade robustness for accuracy.",
            untried="no deepfake classifier was trained; it needs a run on faces, real and swapped, such as "
            "FaceForensics++.",
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "no table of AUROC by watermark could be read; purification at t = 0.1, 0.2, 0.3 of 1,000 steps, "
        "substitute attacks of 4, 8 and 12 of 255",
        **pilot(
            "noise.a2.0.05.auroc 1.000, noise.a2.0.05.error 0.011, noise.a2.0.05.bound 0.000, noise.a2.0.1.auroc "
            "0.994, noise.a2.0.1.error 0.070, noise.a2.0.1.bound 0.031, noise.a2.0.2.auroc 0.911, "
            "noise.a2.0.2.error 0.337, noise.a2.0.2.bound 0.280, noise.a2.0.4.auroc 0.756, noise.a2.0.4.error "
            "0.608, noise.a2.0.4.bound 0.589, noise.a2.0.8.auroc 0.639, noise.a2.0.8.error 0.789, "
            "noise.a2.0.8.bound 0.787, noise.a8.0.2.auroc 1.000, noise.a8.0.2.error 0.000, noise.a8.0.2.bound "
            "0.000, noise.a8.0.4.auroc 0.998, noise.a8.0.4.error 0.040, noise.a8.0.4.bound 0.031, "
            "noise.a8.0.8.auroc 0.921, noise.a8.0.8.error 0.312, noise.a8.0.8.bound 0.281",
        ),
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "noise.a2.0.4.error": ("Faint mark under noise of 0.4", "missed + false alarms"),
        "noise.a2.0.4.bound": ("The lower bound for it", "missed + false alarms"),
        "noise.a2.0.1.error": ("Faint mark under noise of 0.1", "missed + false alarms"),
        "denoised.a2.0.1.error": ("Faint mark, noise of 0.1 and a denoiser", "missed + false alarms"),
        "diffusion.a2.0.2.error": ("Faint mark after diffusion purification, t = 0.2", "missed + false alarms"),
        "diffusion.a2.0.2.bound": ("The lower bound for it", "missed + false alarms"),
        "substitute.evade.uniform": ("Bits of the learned mark read right after uniform noise", "share of bits"),
        "substitute.evade.universal": ("The same after the attack on a substitute", "share of bits"),
        "substitute.spoof.universal": ("Clean images attacked to look marked, bits read right", "share of bits"),
        "blend.spread.difference": ("Clean images passing for marked, marked minus plain noise", "share of images"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Watermarks of this package on CIFAR-10 (spread spectrum, DCT and a small learned one); the faint mark "
        "changes pixels by 2/255.",
        "Purification uses a small diffusion model that was trained here, and one in 20 of the timesteps on its way "
        "back.",
        "Beside the claim stands a detector of generated images, which no part judges.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = MODEL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "detector_scores": {
            "method": "string", "strength": "double", "abnormal": "bool", "fold": "int64", "score": "double",
            "change": "double", "psnr": "double",
        }
    }  # fmt: skip
    """One row an image: whether it is marked (or generated), what was done to it and how strongly, `fold` 0 where
    thresholds are fitted and 1 where they are judged, the detector's score, the l2 norm of what the mark changed in
    [0, 1] pixel units, and the PSNR against the image before the attack in dB."""

    images: PositiveInt = Field(2000, description="test images a seed, marked and clean", ge=40)
    denoised: PositiveInt = Field(1000, description="of them also denoised")
    diffused: PositiveInt = Field(200, description="of them also sent through diffusion purification")
    attacked: PositiveInt = Field(200, description="of them also attacked, and blended")
    seeds: PositiveInt = Field(3, description="repetitions, each with images, patterns, keys and networks of its own")
    train: PositiveInt = Field(20_000, description="training images of denoiser, learned marks and substitutes", ge=40)
    denoiser_steps: PositiveInt = Field(500, description="steps of the denoiser's training, shared by the seeds")
    mark_steps: PositiveInt = Field(300, description="steps of a learned mark's training")
    substitute_epochs: PositiveInt = Field(4, description="of a substitute's training")
    steps: PositiveInt = Field(100, description="of PGD")
    generated_data: str = Field("fashion-mnist", description="SPEC of what the generator learns")
    generator_train: PositiveInt = Field(20_000, description="images that it learns from")
    generator_steps: PositiveInt = Field(1000, description="steps of its training, shared by the seeds")
    real: PositiveInt = Field(2000, description="real images a seed to learn from, and as many to test on", ge=20)
    generated: PositiveInt = Field(1000, description="generated images a seed, the first 3 of 5 to learn from", ge=5)
    generated_attacked: PositiveInt = Field(100, description="of both kinds also attacked")
    detector_epochs: PositiveInt = Field(6, description="of the training of a detector of generated images")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `parts`."""
        checks = []
        for kind, strengths in (("noise", NOISES[1:]), ("denoised", DENOISED), ("diffusion", FRACTIONS)):
            worst = min(measured[kind][f"a{a}"][f"{s:g}"]["margin"] for a in AMPLITUDES for s in strengths)
            words = f"{kind}: missed plus false alarms are at the worst {worst:+.2f} standard errors from the bound"
            checks.append(Check(words, worst >= -ERRORS, "error-bound", opposed=worst < -ERRORS))
        for amplitude in AMPLITUDES:
            checks += self._noise(amplitude, measured["noise"][f"a{amplitude}"])
        for fraction in FRACTIONS:
            words = f"2/255, t = {fraction:g}: missed plus false alarms"
            error = measured["diffusion"][f"a{AMPLITUDES[0]}"][f"{fraction:g}"]["error"]
            checks.append(decide("purification", words, error, above=HALF, opposed_below=HALF))
        for amplitude in AMPLITUDES:
            denoised, noisy = (measured[kind][f"a{amplitude}"] for kind in ("denoised", "noise"))
            pairs = [(denoised[f"{s:g}"]["psnr"], noisy[f"{s:g}"]["psnr"]) for s in DENOISED]
            words = ", ".join(f"{a:.1f} dB denoised and {b:.1f} noisy" for a, b in pairs)
            checks.append(Check(f"{amplitude}/255: {words}", all(a > b for a, b in pairs), "image-quality"))
        forged = measured["substitute"]["spoof"]["universal_beyond_uniform"]
        words = "bits of the mark read from clean images, raised by the attack on the substitute"
        checks.append(decide("spoofing", words, forged))
        return checks + self._substitute(measured["substitute"]) + self._blends(measured["blend"])

    def _noise(self, amplitude: int, row: Mapping[str, Any]) -> list[Check]:
        areas = [row[f"{s:g}"]["auroc"] for s in NOISES[1:]]
        words = f"{amplitude}/255: AUROC over rising noise " + ", ".join(f"{a['value']:.3f}" for a in areas)
        falls = all(b["value"] <= a["value"] + RISE for a, b in pairwise(areas))
        fall = {
            "value": areas[0]["value"] - areas[-1]["value"],
            "low": areas[0]["low"] - areas[-1]["high"],
            "high": areas[0]["high"] - areas[-1]["low"],
        }
        return [Check(words, falls, "more-noise"), decide("more-noise", f"{amplitude}/255: AUROC lost in all", fall)]

    def _substitute(self, found: Mapping[str, Any]) -> list[Check]:
        least = min(found["accuracy"].values(), key=lambda figure: float(figure["low"]))
        words = f"the worst substitute is right on {least['value']:.1%} ({least['low']:.1%} at least)"
        change = found["evade"]["universal_beyond_uniform"]
        taken = {"value": -change["value"], "low": -change["high"], "high": -change["low"]}
        return [
            Check(words, least["low"] > ACCURACY, "substitution"),
            decide("substitution", "right bits taken, more than by uniform noise", taken, above=FALL),
        ]

    def _blends(self, blend: Mapping[str, Any]) -> list[Check]:
        return [
            decide("spoofing", f"{mark}: share passing, marked less plain noise", blend[mark]["difference"])
            for mark in ("spread", "dct", "learned")
        ]

    def remark(self, measured: Mapping[str, Any]) -> str:
        """The detector of generated images."""
        clean = measured["generated"]["clean"]
        if "precision" not in clean:
            return "The detector of generated images raised no alarm."
        return (
            f"The detector of generated images has an AUROC of {clean['alike']['value']:.3f} and finds "
            f"{clean['found']['value']:.1%} at {clean['false_alarms']['value']:.1%} false alarms: of 100 alarms "
            f"{100 * clean['precision']['value']:.0f} are right where 1 % of images is generated."
        )
