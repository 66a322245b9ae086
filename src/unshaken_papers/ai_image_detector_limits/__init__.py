"""`ai-image-detector-limits`: what noise and attacks leave of detectors of watermarks and of deepfakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, pilot
from unshaken_papers.ai_image_detector_limits.rules import judge_marks

MODEL = "spread spectrum, DCT and learned marks; small"


@register("ai-image-detector-limits", reference="Saberi et al. 2024, arXiv:2310.00076")
class AIImageDetectorLimitsPaper(Paper):
    """Do noise and denoising force errors on detectors of watermarks, and do substitution and blending break the rest?

    Spread-spectrum, DCT and strong learned watermarks on CIFAR-10, and a small diffusion denoiser of this package to
    purify with; then classifiers of images whose middle was swapped, in the place of faces.
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
            rule="Spread-spectrum marks of 2/255 and 8/255 under noise and a denoiser, that of 2/255 also under "
            "diffusion purification, the threshold fitted on the other half of the images: shown if in no seed they "
            "are below the bound by more than 3 standard errors, contradicted otherwise.",
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
        "strong-marks": ClaimPart(
            statement="Purification does not reach watermarks that change images much.",
            rule="A learned mark of up to 64/255. Shown if the distance W of marked and clean images, the mean l2 norm "
            "of what it changes, is above that of the pattern of 8/255, and if after diffusion purification at each of "
            "the three published strengths the interval of missed plus false alarms lies below one half; contradicted "
            "if W is below, or one lies above.",
        ),
        "substitution": ClaimPart(
            statement="Those fall to adversarial examples of a substitute model.",
            rule="The same mark, its W above as said there: shown if each seed's substitute is right on more than 90 % "
            "of images and universal PGD of 12/255, the largest published budget, on it takes more than 10 points more "
            "of the right bits than uniform noise of 12/255, by the interval; contradicted if it takes fewer.",
        ),
        "spoofing": ClaimPart(
            statement="Watermarks can be forged: clean images are made to pass for marked.",
            rule="Shown if, with each of the three marks, clean images blended with marked noise pass more often than "
            "with unmarked noise, and if universal PGD on the substitute raises the bits of the learned mark that are "
            "read from clean images above uniform noise; each by the interval. Contradicted where one lies below 0.",
        ),
        "deepfakes": ClaimPart(
            statement="Deepfake classifiers trade robustness for accuracy.",
            rule="Classifiers of CIFAR-10 images, whole or with the middle of another image of the class blended in, "
            "trained with Gaussian noise on their features. Shown if, with noise of 10 in training less none, the "
            "largest noise that turns at most 1 % of answers grows and AUROC falls, by intervals over the seeds of "
            "differences within each; and TPR less FPR is nowhere more than 3 standard errors above its bound. "
            "Contradicted where one is the other way.",
        ),
        "faces": ClaimPart(
            statement="The same holds for classifiers of swapped faces.",
            untried="no package has real and swapped faces such as FaceForensics++; needs them.",
            central=False,
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
        "diffusion.a2.0.2.error": ("Faint mark after diffusion purification, t = 0.2", "missed + false alarms"),
        "diffusion.a2.0.2.bound": ("The lower bound for it", "missed + false alarms"),
        "diffusion.strong.0.2.error": ("Strong mark after the same", "missed + false alarms"),
        "substitute.evade.uniform": ("Bits of the strong mark read right after uniform noise", "share of bits"),
        "substitute.evade.universal": ("The same after the attack on a substitute", "share of bits"),
        "deepfakes.n0.auroc": ("Swapped images, classifier trained without noise", "AUROC"),
        "deepfakes.n10.auroc": ("The same, noise of 10 on features in training", "AUROC"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Watermarks of this package on CIFAR-10 (spread spectrum, DCT and a learned one); the faint mark changes "
        "pixels by 2/255, the strong one by up to 64/255.",
        "The learned mark's decoder learned under noise of 0.3. In a trial on one seed, attacks on the substitute of "
        "36/255 and more took bits of it; those of 12/255 were too small.",
        "Purification uses a small diffusion model that was trained here, and one in 25 of the timesteps on its way "
        "back.",
        "Images with a swapped middle, in the colours of the place, stand for faces that were swapped; features are "
        "normalised before the noise, so that larger features are no way out; robustness is read on a grid of factors "
        "of 1.4.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = MODEL
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "detector_scores": {
            "method": "string", "strength": "double", "abnormal": "bool", "fold": "int64", "score": "double",
            "change": "double", "psnr": "double",
        }
    }  # fmt: skip
    """One row an image: whether it is marked (or swapped), what was done to it and how strongly, `fold` 0 where
    thresholds are fitted and 1 where they are judged, the detector's score (of `flips`: the share of draws that turn
    the answer), the l2 norm of what the mark changed in [0, 1] pixel units (of swapped images: of the difference of
    features), and the PSNR against the image before the attack in dB."""

    images: PositiveInt = Field(2000, description="test images a seed, marked and clean", ge=40)
    denoised: PositiveInt = Field(600, description="of them also denoised")
    diffused: PositiveInt = Field(150, description="of them also sent through diffusion purification")
    attacked: PositiveInt = Field(100, description="of them also attacked, and blended")
    seeds: int = Field(3, ge=2, description="repetitions, each with images, patterns, keys and networks of its own")
    train: PositiveInt = Field(16_000, description="training images of denoiser, learned marks and substitutes", ge=40)
    denoiser_steps: PositiveInt = Field(400, description="steps of the denoiser's training, shared by the seeds")
    mark_steps: PositiveInt = Field(300, description="steps of a learned mark's training")
    substitute_epochs: PositiveInt = Field(3, description="of a substitute's training")
    steps: PositiveInt = Field(100, description="of PGD")
    swapped: PositiveInt = Field(1500, description="training images of which classifiers of deepfakes learn", ge=20)
    swapped_tested: PositiveInt = Field(300, description="of a seed's test images for them")
    swapped_epochs: PositiveInt = Field(4, description="of their training")

    full: ClassVar[Mapping[str, Any]] = {
        "seeds": 5,
        "denoised": 1000,
        "diffused": 250,
        "attacked": 200,
        "train": 20_000,
        "denoiser_steps": 800,
        "mark_steps": 500,
        "substitute_epochs": 5,
        "swapped": 3000,
        "swapped_tested": 600,
        "swapped_epochs": 6,
    }

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return judge_marks(measured)
