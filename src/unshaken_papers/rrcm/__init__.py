"""`rrcm`: consistent representations along a diffusion, for classifiers that are smoothed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in

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
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for part, other, words in (
            ("consistency", "contrast", "contrast alone"),
            ("pretraining", "scratch", "no pretraining"),
        ):
            for sigma in self.sigmas:
                tuned = measured[f"s{sigma:g}"]["tuned"]
                full, compared = ([one["value"] for _, one in seeds_in(tuned[arm])] for arm in ("full", other))
                gap = [a - b for a, b in zip(full, compared, strict=True)]
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
