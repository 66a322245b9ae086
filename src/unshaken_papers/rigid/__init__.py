"""`rigid`: do generated images move more in feature space than photos, under a slight noise?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide
from unshaken.papers.effects import complement

MAIN = 0.05
NOISE = f"noise-{MAIN:g}"
TRACES = ("bicubic", "nearest", "low-rank", "auto-encoder")
"""Photos through a process that leaves traces as a generator does."""
UPSCALED = "super-resolution"
"""Photos at half the size, drawn anew by a trained super-resolution network; where its package is installed."""
DRAWN = "spectrum"
STAND_INS = (*TRACES[:3], DRAWN, *TRACES[3:])
GENERATED = ("small-edm", "small-edm-jpeg75")
"""Images of a diffusion model trained here, as they are and through a JPEG file like the photos'."""
AS_IS, AGAIN, BLURRED, NOISY = "as-is", "jpeg90", "blur-1", "noisy-0.02"
"""Treatments of all sets alike: none, a JPEG file of quality 90, a blur of deviation 1 pixel, and noise of deviation
0.02 on [0, 1] pixels."""
CORRUPTIONS = (AGAIN, BLURRED, NOISY)
ALARMS, FLAGGED, ORDER = 0.05, 0.15, 0.01
"""Share of photos beyond the threshold, share of others that may be flagged, and how far a score may move with order
and batches, relative to it."""


@register("rigid", reference="He et al. 2024, arXiv:2405.20112")
class RIGIDPaper(Paper):
    """Do the features of photos turn less under a slight noise than those of pictures like generated ones?

    ImageNet photos against what was made of them (half the size and back, few cosines, 1/f noise, an auto-encoder, a
    super-resolution network where npm's package with it is installed), JPEG copies as controls, and images of a small
    diffusion model against those that it learned from. The backbone is a supervised one: what is tried is the
    mechanism, not the accuracy.
    """

    title: ClassVar[str] = "RIGID: A Training-free and Model-Agnostic Framework for Robust AI-Generated Image Detection"
    claim: ClassVar[str] = (
        "In the feature space of a vision foundation model real photos move less under a tiny noise than generated "
        "images; a threshold on the cosine between clean and noisy features detects generated images without training, "
        "for many generators and under corruptions."
    )
    summary: ClassVar[str] = (
        "Features of photos move less under a slight noise than those of images with a generator's traces."
    )
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "traces": ClaimPart(
            statement="Real photos move less under a tiny noise than images with the traces of a generator.",
            rule="Shown if, at lambda 0.05, the AUROC of photos at half the size and back (two ways), of few cosines, "
            "and through an auto-encoder is above 0.5 for each, no score differs from 0 without noise, and none moves "
            "by more than 1 % with order and batches; contradicted if one AUROC is below 0.5. The sign is fixed.",
        ),
        "trained-network": ClaimPart(
            statement="Real photos move less than images that a trained network has drawn.",
            rule="Shown if, at lambda 0.05, the AUROC of photos at half the size, brought back by the super-resolution "
            "network of npm's @upscalerjs/default-model, is above 0.5; contradicted if below. Not tried where the "
            "package is not installed.",
        ),
        "generated": ClaimPart(
            statement="Real photos move less than generated images.",
            rule="Shown if, at lambda 0.05, the AUROC of a small diffusion model's images is above 0.5, as they are "
            "and through a JPEG file like the photos'; contradicted if one is below.",
        ),
        "large-generators": ClaimPart(
            statement="The same holds, with the features of a vision foundation model, for many large generators.",
            untried="neither the weights of DINOv2 nor images of such generators come in a package; needs both.",
        ),
        "threshold": ClaimPart(
            statement="A threshold that keeps 95 % of real photos detects generated images.",
            rule="The threshold is split-conformal: at the k-th smallest of n calibration scores, k = (n + 1) 0.95 "
            f"rounded up. Shown if less than {FLAGGED:.0%} of other photos and of their JPEG copies are flagged, and "
            "more than half of the images with each trace; contradicted if more than that of the former, or less than "
            "5 % of the latter. Intervals leave out that the threshold itself hangs on few photos.",
        ),
        "recompression": ClaimPart(
            statement="It withstands corruptions: all images once more through a JPEG file.",
            rule="Shown if, at lambda 0.05 and with all sets at quality 90, the AUROC of each trace, and of the "
            "super-resolution network's where it is there, is above 0.5; contradicted if one is below.",
        ),
        "other-corruptions": ClaimPart(
            statement="It withstands blur and noise on real and generated images.",
            rule="As for recompression, with all sets blurred (deviation 1 pixel), and with noise of deviation 0.02.",
        ),
        "drawn": ClaimPart(
            statement="The same holds for images that are drawn from a law, without a photo.",
            rule="Shown if, at lambda 0.05, the AUROC of 1/f noise is above 0.5; contradicted if below.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "AUROC 0.836 (AP 0.816) over ImageNet generators with DINOv2-L, second-hand; 0.31 to 0.91 by "
        "generator and change in a re-implementation",
        "auroc": {"noise-0": dict.fromkeys(STAND_INS, 0.5)},
        "real_first": "no figure was published for such stand-ins",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "auroc.noise-0.05.small-edm": ("Images of a small diffusion model", "AUROC"),
        "auroc.noise-0.05.small-edm-jpeg75": ("The same through a JPEG file like the photos'", "AUROC"),
        "stand_ins.*": ("Mean over five stand-ins for generated images", "AUROC"),
        "auroc.noise-0.05.super-resolution": ("Photos drawn anew by a super-resolution network", "AUROC"),
        "auroc.noise-0.05.auto-encoder": ("Photos through an auto-encoder", "AUROC"),
        "auroc.noise-0.05.bicubic": ("Photos at half the size and back, bicubic", "AUROC"),
        "corrupted.blur-1.bicubic": ("The same, and all images blurred", "AUROC"),
        "auroc.noise-0.05.spectrum": ("1/f noise", "AUROC"),
        "auroc.noise-0.05.jpeg95": ("JPEG copies of photos, a control", "AUROC"),
        "flagged.jpeg95": ("JPEG copies flagged at a threshold for 5 % of photos", "share of images"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A supervised backbone in the place of DINOv2, and made-up traits, a super-resolution network and a small "
        "diffusion model in the place of large generators: the mechanism and the sign are tried, not the published "
        "accuracy.",
        "The backbone was probably trained on photos of these classes, perhaps on these photos.",
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
        (0.0, 0.02, MAIN, 0.2),
        description="deviations of the noise in units of ImageNet's, 0.226 of a [0, 1] pixel; as text 0+0.05",
    )
    learned: PositiveInt = Field(200, description="further photos that the auto-encoder learns from")
    coder_steps: PositiveInt = Field(300, description="in which it learns")
    small: str = Field(
        "cifar10", description="SPEC of small images that a generator learns from; empty for no such part"
    )
    generator_steps: PositiveInt = Field(500, description="in which it learns, 32 images each")

    full: ClassVar[Mapping[str, Any]] = {
        "photos": 60,
        "calibration": 120,
        "lambdas": (0.0, 0.01, 0.02, MAIN, 0.1, 0.2),
        "coder_steps": 1000,
        "generator_steps": 2000,
    }

    @field_validator("lambdas", mode="before")
    @classmethod
    def _split(cls, lambdas: Any) -> Any:
        values = [float(v) for v in (lambdas.split("+") if isinstance(lambdas, str) else lambdas)]
        return tuple(sorted({*values, MAIN}))

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        aurocs, order = measured["auroc"][NOISE], measured["order"]
        return [
            *(above_chance("traces", name, aurocs[name]) for name in TRACES),
            self._tied(measured["not_tied_at_0"]),
            Check(f"in another order scores move by {order:.1e} of them at most", order <= ORDER, "traces"),
            *(above_chance("trained-network", name, aurocs[name]) for name in (UPSCALED,) if name in aurocs),
            *(above_chance("generated", name, aurocs[name]) for name in GENERATED if name in aurocs),
            *self._flagged(measured["flagged"]),
            *self._corrupted(measured["corrupted"]),
            above_chance("drawn", DRAWN, aurocs[DRAWN]),
        ]

    def _corrupted(self, corrupted: Mapping[str, Any]) -> list[Check]:
        """Traces where real and changed photos went through the same corruption."""
        parts = {AGAIN: "recompression", BLURRED: "other-corruptions", NOISY: "other-corruptions"}
        return [
            above_chance(parts[treatment], f"{name}, {treatment}", corrupted[treatment][name])
            for treatment in CORRUPTIONS
            for name in (*TRACES, UPSCALED)
            if name in corrupted[treatment]
        ]

    def _tied(self, untied: int | None) -> Check:
        if untied is None:
            return Check("without noise every score must be 0; lambda 0 was not run", False, "traces")
        return Check(f"without noise {untied} scores differ from 0", untied == 0, "traces")

    def _flagged(self, flagged: Mapping[str, Any]) -> list[Check]:
        """Real photos that are kept, and images with traces that are flagged."""
        kept = {"other photos": flagged["real"], "JPEG copies of quality 95": flagged["jpeg95"]}
        most = 1 - FLAGGED
        return [
            *(decide("threshold", f"{n} kept", complement(f), above=most, opposed_below=most) for n, f in kept.items()),
            *(
                decide("threshold", f"{name}, flagged", flagged[name], above=0.5, opposed_below=ALARMS)
                for name in TRACES
            ),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        low = ", ".join(k for k, v in measured["auroc"][NOISE].items() if v["value"] < 0.5)
        alarms = ", ".join(f"{k} {v['value']:.0%}" for k, v in measured["false_alarms"].items())
        flagged = f"Flagged at the threshold for 5 %, of real photos by content and of flat drawings: {alarms}."
        return f"{f'Photos move more than {low}. ' if low else ''}{flagged}"


def above_chance(part: str, name: str, auroc: Mapping[str, Any]) -> Check:
    """Whether photos move less than a set, by its AUROC."""
    return decide(part, f"{name}, AUROC", auroc, above=0.5, opposed_below=0.5)
