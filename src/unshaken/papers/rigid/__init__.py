"""`rigid`: do generated images move more in feature space than photos, under a slight noise?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper

MAIN = 0.05
NOISE = f"noise-{MAIN:g}"
STAND_INS = ("bicubic", "nearest", "low-rank", "spectrum", "auto-encoder")
AS_IS, AGAIN = "as-is", "jpeg90"
"""Treatments of all sets alike: none, and once more through a JPEG file."""
FLAGGED, ORDER = 0.15, 0.01
"""Share of the control that may be flagged, and how far a score may move with order and batches, relative to it."""


@register("rigid", reference="He et al. 2024, arXiv:2405.20112")
class RIGIDPaper(Paper):
    """Do the features of photos turn less under a slight noise than those of pictures like generated ones?

    ImageNet photos against what was made of them (half the size and back, few cosines, 1/f noise, an auto-encoder),
    JPEG copies as controls, and images of a small diffusion model against those that it learned from. The backbone is
    a supervised one: what is tried is the mechanism, not the accuracy.
    """

    title: ClassVar[str] = "RIGID: A Training-free and Model-Agnostic Framework for Robust AI-Generated Image Detection"
    claim: ClassVar[str] = (
        "In the feature space of a vision foundation model real photos move less under a tiny noise than generated "
        "images; a threshold on the cosine between clean and noisy features detects generated images without training, "
        "for many generators and under corruptions."
    )
    summary: ClassVar[str] = "Features of real photos move less under a slight noise than those of generated images."
    rule: ClassVar[str] = (
        "Reproduced, as far as the mechanism goes, if all hold: (1) without noise every score is 0, so that nothing is "
        "told apart; (2) scores do not hang on order and batches (within 1%); (3) at the threshold that flags 5% of "
        "other photos at most 15% of JPEG copies of quality 95 are flagged; (4) at lambda 0.05 the AUROC of the five "
        "stand-ins, mean over them, is above 0.5 in every seed. The sign is fixed and never flipped. The published "
        "accuracy needs DINOv2 and large generators and is not tried."
    )
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "AUROC 0.836 (AP 0.816) over ImageNet generators with DINOv2-L, second-hand; 0.31 to 0.91 by "
        "generator and change in a re-implementation",
        "auroc": {"noise-0": dict.fromkeys(STAND_INS, 0.5)},
        "real_first": "no figure was published for such stand-ins",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "stand_ins.*": ("Mean over five stand-ins for generated images", "AUROC"),
        "auroc.noise-0.05.auto-encoder": ("Photos through an auto-encoder", "AUROC"),
        "auroc.noise-0.05.low-rank": ("Photos of few cosines", "AUROC"),
        "auroc.noise-0.05.bicubic": ("Photos at half the size and back, bicubic", "AUROC"),
        "auroc.noise-0.05.nearest": ("Photos at half the size and back, nearest pixel", "AUROC"),
        "auroc.noise-0.05.spectrum": ("1/f noise", "AUROC"),
        "auroc.noise-0.05.jpeg95": ("JPEG copies of photos, a control", "AUROC"),
        "auroc.noise-0.05.small-edm": ("Images of a small diffusion model", "AUROC"),
        "auroc.noise-0.05.small-edm-jpeg75": ("The same through a JPEG file like the photos'", "AUROC"),
        "flagged.as-is.jpeg95": ("JPEG copies flagged at a threshold for 5 % of photos", "share of images"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A supervised backbone in the place of DINOv2, and made-up traits in the place of large generators: the "
        "mechanism and the sign are tried, not the published accuracy.",
        "An AUROC below 0.5 says that photos move more; the sign is fixed and never flipped.",
    )
    data: ClassVar[str] = "imagenet-sample"
    model: ClassVar[str] = "imagenet:efficientnet-lite0"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "moves": {"seed": "int64", "set": "string", "treatment": "string", "how": "string", "score": "double"},
        "content": {"label": "int64", "brightness": "double", "contrast": "double", "detail": "double"},
    }
    """`moves`: one row a picture and way of changing it, `noise-0.05` (lambda in the paper's units) or `blur`.
    `content`: mean and deviation of a photo's pixels, and the mean step from one to the next, in [0, 1]."""

    photos: PositiveInt = Field(30, description="photos scored in each seed")
    calibration: PositiveInt = Field(60, description="further photos that set the threshold in each seed")
    seeds: PositiveInt = Field(3, description="groups of photos, each with noise of its own")
    draws: PositiveInt = Field(3, description="noisy copies at lambda 0.05; one at all others")
    lambdas: tuple[NonNegativeFloat, ...] = Field(
        (0.0, 0.01, 0.02, MAIN, 0.1, 0.2),
        description="deviations of the noise in units of ImageNet's, 0.226 of a [0, 1] pixel; as text 0+0.05",
    )
    learned: PositiveInt = Field(200, description="further photos that the auto-encoder learns from")
    coder_steps: PositiveInt = Field(300, description="in which it learns")
    small: str = Field(
        "cifar10", description="SPEC of small images that a generator learns from; empty for no such part"
    )
    generator_steps: PositiveInt = Field(1000, description="in which it learns, 32 images each")

    @field_validator("lambdas", mode="before")
    @classmethod
    def _split(cls, lambdas: Any) -> Any:
        values = [float(v) for v in (lambdas.split("+") if isinstance(lambdas, str) else lambdas)]
        return tuple(sorted({*values, MAIN}))

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        jpeg, untied = measured["flagged"][AS_IS]["jpeg95"]["value"], measured["not_tied_at_0"]
        checks = [
            Check("without noise every score must be 0; lambda 0 was not run", False)
            if untied is None
            else Check(f"without noise {untied} scores differ from 0", untied == 0),
            Check(f"in another order scores move by {measured['order']:.1e} at most", measured["order"] <= ORDER),
            Check(f"{jpeg:.1%} of JPEG-95 copies are flagged", jpeg <= FLAGGED),
        ]
        means = measured["stand_ins"].values()
        words = "mean AUROC of the stand-ins by seed: " + ", ".join(f"{v:.3f}" for v in means)
        return [*checks, Check(words, all(v > 0.5 for v in means))]

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Which sets move less than photos, and false alarms."""
        low = ", ".join(k for k, v in measured["auroc"][NOISE].items() if v["value"] < 0.5)
        alarms = ", ".join(f"{k} {v['value']:.0%}" for k, v in measured["false_alarms"].items())
        flagged = f"Flagged at the 5 % threshold, of real photos by content and of flat drawings: {alarms}."
        return f"{f'Photos move more than {low}. ' if low else ''}{flagged}"
