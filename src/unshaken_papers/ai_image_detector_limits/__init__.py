"""`ai-image-detector-limits`: what noise and attacks leave of detectors of watermarks and of deepfakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, row
from unshaken_papers.ai_image_detector_limits.rules import judge_marks

MODEL = "spread spectrum, DCT and learned marks; small"


@row(__file__)
class AIImageDetectorLimitsPaper(Paper):
    """Do noise and denoising force errors on detectors of watermarks, and do substitution and blending break the rest?

    Spread-spectrum, DCT and strong learned watermarks on CIFAR-10, and a small diffusion denoiser of this package to
    purify with; then classifiers of images whose middle was swapped, in the place of faces.
    """

    images: PositiveInt = Field(description="test images a seed, marked and clean", ge=40)
    denoised: PositiveInt = Field(description="of them also denoised")
    diffused: PositiveInt = Field(description="of them also sent through diffusion purification")
    attacked: PositiveInt = Field(description="of them also attacked, and blended")
    seeds: int = Field(ge=2, description="repetitions, each with images, patterns, keys and networks of its own")
    train: PositiveInt = Field(description="training images of denoiser, learned marks and substitutes", ge=40)
    denoiser_steps: PositiveInt = Field(description="steps of the denoiser's training, shared by the seeds")
    mark_steps: PositiveInt = Field(description="steps of a learned mark's training")
    substitute_epochs: PositiveInt = Field(description="of a substitute's training")
    steps: PositiveInt = Field(description="of PGD")
    swapped: PositiveInt = Field(description="training images of which classifiers of deepfakes learn", ge=20)
    swapped_tested: PositiveInt = Field(description="of a seed's test images for them")
    swapped_epochs: PositiveInt = Field(description="of their training")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return judge_marks(measured)
