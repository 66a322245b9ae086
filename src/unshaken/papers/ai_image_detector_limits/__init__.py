"""`ai-image-detector-limits`: what noise and attacks leave of detectors of marked and of generated images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper, pilot

MODEL = "spread spectrum, DCT and learned marks; small"
ERRORS = 3.0
RISE = 0.005
ACCURACY = 0.9
FALL = 0.1
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
    with; and, outside the rule, a detector of Fashion-MNIST images made by a small diffusion model of this package.
    """

    title: ClassVar[str] = "Robustness of AI-Image Detectors: Fundamental Limits and Practical Attacks"
    claim: ClassVar[str] = (
        "For watermarks that change little, noise and denoising (diffusion purification) force a trade-off: missed "
        "plus false alarms are bounded below by a function of the distance between marked and clean images. Watermarks "
        "that change much fall to adversarial examples of a substitute model, and both kinds can be spoofed."
    )
    summary: ClassVar[str] = "Noise and denoising defeat faint watermarks, attacks on a substitute the strong ones."
    rule: ClassVar[str] = (
        "Reproduced if all hold. (A) Spread-spectrum marks of 2/255 and 8/255 under noise of deviation 0.05 to 0.8: "
        "for each seed, missed plus false alarms (threshold fitted on the other half of the images) are not below the "
        "bound by more than 3 standard errors; and AUROC falls with the noise: it never rises by more than 0.005 from "
        "one deviation to the next, and is lower at the largest than at the least. (B) The same bound holds after a "
        "denoiser and after diffusion purification, and the denoiser's images are nearer to the originals (PSNR) than "
        "noisy ones. (C) Each substitute is right on more than 90 % of images, and universal PGD of 8/255 on it makes "
        "the share of right bits of the learned mark fall by at least 10 points more than uniform noise of 8/255. (D) "
        "With each of the three marks, clean images blended with marked noise pass for marked more often than with "
        "unmarked noise, the interval of the difference above 0. The detector of generated images is outside the rule."
    )
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
        "The detector of generated images is outside the rule.",
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
        """See `rule`."""
        checks = []
        for part in ("noise", "denoised", "diffusion"):
            cells = [c for row in measured[part].values() for s, c in row.items() if float(s) > 0]
            worst = min(c["margin"] for c in cells)
            words = f"{part}: missed plus false alarms are at the worst {worst:+.2f} standard errors from the bound"
            checks.append(Check(words, worst >= -ERRORS))
        for mark, row in measured["noise"].items():
            areas = [c["auroc"]["value"] for s, c in sorted(row.items(), key=lambda x: float(x[0])) if float(s) > 0]
            falls = areas[-1] < areas[0] and all(b <= a + RISE for a, b in pairwise(areas))
            checks.append(Check(f"{mark}: AUROC over rising noise {', '.join(f'{a:.3f}' for a in areas)}", falls))
        for mark, row in measured["denoised"].items():
            pairs = [(c["psnr"], measured["noise"][mark][s]["psnr"]) for s, c in row.items()]
            words = ", ".join(f"{a:.1f} dB denoised and {b:.1f} noisy" for a, b in pairs)
            checks.append(Check(f"{mark}: {words}", all(a > b for a, b in pairs)))
        substitute = measured["substitute"]
        least = min(f["value"] for f in substitute["accuracy"].values())
        checks.append(Check(f"the worst substitute is right on {least:.1%} of images", least > ACCURACY))
        fall = -substitute["evade"]["universal_beyond_uniform"]["value"]
        words = f"universal PGD takes {100 * fall:.1f} points more of the bits than uniform noise"
        checks.append(Check(words, fall >= FALL))
        for mark, row in measured["blend"].items():
            more = row["difference"]
            words = f"{mark}: marked noise makes {100 * more['value']:.1f} points more images pass for marked"
            checks.append(Check(words, more["low"] > 0))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """What the rule leaves out."""
        clean = measured["generated"]["clean"]
        if "precision" not in clean:
            return "The detector of generated images raised no alarm."
        return (
            f"The detector of generated images has an AUROC of {clean['alike']['value']:.3f} and finds "
            f"{clean['found']['value']:.1%} at {clean['false_alarms']['value']:.1%} false alarms: of 100 alarms "
            f"{100 * clean['precision']['value']:.0f} are right where 1 % of images is generated."
        )
