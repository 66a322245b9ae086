"""`rrcm`: consistent representations along a diffusion, for classifiers that are smoothed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, PlusSeparated, decide, seeds_in

TIMED = "timed-cnn"
ARMS: Mapping[str, Mapping[str, float] | None] = {
    "scratch": None,
    "contrast": {"consistency": 0.0},
    "full": {},
    "consistency": {"contrast": 0.0},
}
"""Options of the pretraining; None for no pretraining."""
KINDS = ("tuned", "probe")
CURVES = ("contrast", "consistency", *(f"consistency_quarter{q}" for q in range(1, 5)))
SYSTEMS = {"rrcm": "full", "denoised": "denoised"}
"""What is certified, and its name among the networks."""


@register("rrcm", reference="Lei et al. 2025, arXiv:2501.13094")
class RRCMPaper(Paper):
    """Does pretraining for consistent representations along a diffusion help a smoothed classifier?

    A network of 52,000 parameters that is told the noise, pretrained on images without labels by two contrasted
    views, by these and neighbouring noise levels, or not at all; then tuned on ten labels a class under noise. With a
    model of one's own, an architecture by name, that is trained from scratch in its place.
    """

    title: ClassVar[str] = "Robust Representation Consistency Model via Contrastive Denoising"
    claim: ClassVar[str] = (
        "Pretrain an encoder so that neighbouring points of a diffusion's noising trajectory get one representation; "
        "tuned with noise, it denoises and classifies in a single pass: certified accuracy on ImageNet is 5.3 points "
        "above that of diffusion-based smoothing on average, at 1/85 of the cost."
    )
    summary: ClassVar[str] = "Pretraining for consistent features along a diffusion improves smoothed classifiers."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "consistency": ClaimPart(
            statement="Consistency along the diffusion's trajectory makes the classifier more accurate under noise "
            "than contrast of two views alone.",
            rule="Shown if at both noise levels the accuracy under noise, after tuning, is higher with both losses "
            "than with contrast alone, over the seeds; contradicted if it is lower at either.",
        ),
        "pretraining": ClaimPart(
            statement="The pretraining makes the classifier more accurate under noise than none.",
            rule="Shown if at both noise levels the accuracy under noise, after tuning, is higher than without "
            "pretraining, over the seeds; contradicted if it is lower at either.",
        ),
        "representation": ClaimPart(
            statement="Neighbouring points of a noising trajectory get one representation.",
            rule="Shown if the loss of consistency, mean over the seeds, ends below half of log B, its value for "
            "representations that tell no images apart.",
        ),
        "single-pass": ClaimPart(
            statement="A certificate costs less than with a denoiser before the classifier.",
            rule="Shown if in every seed a certificate takes fewer passes and less time than behind a small denoiser; "
            "contradicted if it takes more passes.",
        ),
        "above-diffusion": ClaimPart(
            statement="Certified accuracy is 5.3 points above that of diffusion-based smoothing, on average.",
            untried="No diffusion model denoises here, and the certificates are few; needs one trained on the same "
            "images, and hundreds of certificates in every seed.",
        ),
        "cost": ClaimPart(
            statement="A certificate costs 1/85 of one by diffusion-based smoothing.",
            untried="The denoiser here is one small network in one pass; needs a diffusion model of usual size.",
            central=False,
        ),
        "large-scale": ClaimPart(
            statement="This holds on ImageNet, at noise levels up to 1.",
            untried="Needs tens of thousands of steps of pretraining on ImageNet.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "5.3 points more certified accuracy than diffusion-based smoothing on ImageNet, on average over "
        "radii, up to 11.6; 1/85 of the cost (abstract)",
        "s0.5": {"tuned": {"scratch": "0.666 (pilot)", "contrast": "0.675 (pilot)", "full": "0.675 (pilot)"}}
        | {"probe": {"contrast": "0.591 (pilot)", "full": "0.503 (pilot)"}},
        "s1": {"tuned": {"scratch": "0.608 (pilot)", "contrast": "0.621 (pilot)", "full": "0.621 (pilot)"}}
        | {"probe": {"contrast": "0.432 (pilot)", "full": "0.337 (pilot)"}},
        "consistency_loss": "1.2 of 5.5 (pilot)",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "s0.5.tuned.full_minus_contrast": ("Under noise of 0.5, consistency minus contrast alone", "accuracy"),
        "s1.tuned.full_minus_contrast": ("Under noise of 1, consistency minus contrast alone", "accuracy"),
        "s0.5.tuned.full_minus_scratch": ("Under noise of 0.5, consistency minus no pretraining", "accuracy"),
        "s1.tuned.full_minus_scratch": ("Under noise of 1, consistency minus no pretraining", "accuracy"),
        "s0.5.probe.full_minus_contrast": ("Frozen features, noise of 0.5, consistency minus contrast", "accuracy"),
        "s1.probe.full_minus_contrast": ("Frozen features, noise of 1, consistency minus contrast", "accuracy"),
        "cost.seed*.rrcm.accuracy_under_noise": ("Under noise of 0.5, in a single pass", "accuracy"),
        "cost.seed*.denoised.accuracy_under_noise": ("Under noise of 0.5, a denoiser before a classifier", "accuracy"),
        "cost.seed*.times_fewer_passes": ("Times fewer passes than with a denoiser", "ratio"),
        "cost.seed*.times_fewer_seconds": ("Times less time than with a denoiser", "ratio"),
    }
    differs: ClassVar[Sequence[str]] = (
        "A network of 52,000 parameters, short pretraining and ten labels a class on Fashion-MNIST; the "
        "published effect is one of ImageNet and needs tens of thousands of steps.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = TIMED
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "pretraining": {
            "arm": "string", "seed": "int64", "epoch": "int64", **dict.fromkeys(CURVES, "double"),
            "batch": "int64", "seconds": "double",
        },
        "certification_cost": {
            "sigma": "double", "label": "int64", "prediction": "int64", "abstained": "bool", "radius": "double",
            "votes": "int64", "passes": "double", "parameters": "int64", "seconds": "double",
        },
    }  # fmt: skip
    """Losses, one row an epoch, that of consistency also by quarters of the grid, most noise first; and one row an
    image that is certified, whose passes are those of all networks of the system."""

    full: ClassVar[Mapping[str, Any]] = {"unlabelled": 50_000, "test": 3000, "epochs": 24, "seeds": 5}

    unlabelled: PositiveInt = Field(10_000, description="training images, a stratified subset")
    test: PositiveInt = Field(2000, description="test images")
    per_class: PositiveInt = Field(10, description="labelled images of each class")
    epochs: PositiveInt = Field(6, description="of pretraining")
    steps: PositiveInt = Field(300, description="of tuning", ge=20)
    seeds: PositiveInt = Field(3, description="runs of each arm")
    sigmas: Annotated[tuple[PositiveFloat, ...], PlusSeparated] = Field(
        (0.5, 1.0), description="noise levels, in [0, 1] pixel units; as text 0.5+1", min_length=1
    )
    alone: bool = Field(False, description="whether consistency without contrast is tried besides")
    images: PositiveInt = Field(20, description="test images that are certified")
    n: PositiveInt = Field(1000, description="votes of a certificate")
    denoiser_steps: PositiveInt = Field(400, description="in which the denoiser learns")

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of `ARMS` that are trained."""
        return tuple(arm for arm in ARMS if self.alone or arm != "consistency")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for part, other, words in (
            ("consistency", "contrast", "contrast alone"),
            ("pretraining", "scratch", "no pretraining"),
        ):
            for sigma in self.sigmas:
                tuned = measured[f"s{sigma:g}"]["tuned"]
                full, beside = ([one["value"] for _, one in seeds_in(tuned[arm])] for arm in ("full", other))
                gap = [a - b for a, b in zip(full, beside, strict=True)]
                checks.append(decide(part, f"accuracy under noise of {sigma:g}, full pretraining minus {words}", gap))
        full = measured["pretraining"]["full"]
        loss, half = full["consistency"]["last"], full["log_batch"] / 2
        checks.append(
            Check(f"loss of consistency ends at {loss:.2f} (below {half:.2f})", loss < half, "representation")
        )
        for name, cost in seeds_in(measured["cost"]):
            passes, seconds = (cost[f"times_fewer_{what}"] for what in ("passes", "seconds"))
            words = f"{name}: {passes:.2f} times fewer passes and {seconds:.2f} times less time than behind a denoiser"
            checks.append(Check(words, passes > 1 and seconds > 1, "single-pass", opposed=passes < 1))
        return checks

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        parts = []
        for sigma in self.sigmas:
            level = measured[f"s{sigma:g}"]
            frozen, moved = (level[kind]["full_minus_contrast"] for kind in ("probe", "tuned"))
            if frozen["low"] > 0 >= moved["low"]:
                parts.append(
                    f"On frozen features consistency adds {frozen['value']:.3f} ({frozen['low']:.3f} to "
                    f"{frozen['high']:.3f}) to contrast at sigma {sigma:g}; tuning makes up for it."
                )
        if not all(c.holds for c in self.judge(measured)):
            parts.append(
                "This is a test that the parts work together: the order of the arms is to be judged with far more "
                "pretraining, and the claim is not seen at this scale."
            )
        return " ".join(parts)
