"""`rrcm`: consistent representations along a diffusion, for classifiers that are smoothed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row

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


@row(__file__)
class RRCMPaper(Paper):
    """Does pretraining for consistent representations along a diffusion help a smoothed classifier?

    A network of 52,000 parameters that is told the noise, pretrained on images without labels by two contrasted
    views, by these and neighbouring noise levels, or not at all; then tuned on ten labels a class under noise. With a
    model of one's own, an architecture by name, that is trained from scratch in its place.
    """

    unlabelled: PositiveInt = Field(description="training images, a stratified subset")
    test: PositiveInt = Field(description="test images")
    per_class: PositiveInt = Field(description="labelled images of each class")
    epochs: PositiveInt = Field(description="of pretraining")
    steps: PositiveInt = Field(description="of tuning", ge=20)
    seeds: PositiveInt = Field(description="runs of each arm")
    sigmas: tuple[PositiveFloat, ...] = Field(
        description="noise levels, in [0, 1] pixel units; as text 0.5+1", min_length=1
    )
    alone: bool = Field(description="whether consistency without contrast is tried besides")
    images: PositiveInt = Field(description="test images that are certified")
    n: PositiveInt = Field(description="votes of a certificate")
    denoiser_steps: PositiveInt = Field(description="in which the denoiser learns")

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of `ARMS` that are trained."""
        return tuple(arm for arm in ARMS if self.alone or arm != "consistency")

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        if all(check.holds for check in self.judge(measured)):
            return ""
        return (
            "This is a test that the parts work together: the order of the arms is to be judged with far more "
            "pretraining, and the claim is not seen at this scale."
        )
