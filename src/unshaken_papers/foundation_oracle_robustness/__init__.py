"""`foundation-oracle-robustness`: accuracy on images changed as far as pretrained networks see the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Paper, row, seeds_in

PLAIN, NOISE, ADVERSARIAL = "plain", "noise", "adversarial"
RECIPES: Mapping[str, Sequence[str]] = {
    PLAIN: (),
    NOISE: ("gaussian-augmented:sigma=0.1",),
    ADVERSARIAL: ("fgsm-rs:eps=4/255",),
}
"""Trainings of the networks that are evaluated."""
BOUNDED, FREE = "bounded", "free"
"""Searches: as far as the oracles see the class, and without them."""


@row(__file__)
class FoundationOraclePaper(Paper):
    """Do networks err on images in which pretrained networks still see the class, and does training change how often?

    Small networks are evaluated by images of an auto-encoder, moved against each of them until two probes on pretrained
    networks no longer see the class together. A third, held-out one says what that constraint is worth.
    """

    images: PositiveInt = Field(description="training images of the evaluated networks")
    epochs: PositiveInt = Field(description="epochs of their training")
    oracles: str = Field(
        description="SPECs of pretrained networks whose probes are the oracle",
    )
    held_out: str = Field(description="SPEC of the held-out pretrained network")
    side: NonNegativeInt = Field(description="side in pixels that they see; 0 for their own")
    probed: PositiveInt = Field(description="further images that the probes of the oracle are fitted on")
    coder_steps: PositiveInt = Field(description="training steps of the auto-encoder")
    pool: PositiveInt = Field(description="test images, of which those that the oracle knows are taken")
    attacked: PositiveInt = Field(description="test images at most that are perturbed")
    steps: PositiveInt = Field(description="steps of a search at most")
    rate: PositiveFloat = Field(description="step size, in deviations of an image's code")
    seeds: PositiveInt = Field(description="seeds of the evaluated networks")

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        ended = [part[name]["stopped"] for _, part in seeds_in(measured) for name in RECIPES]
        accuracy = measured["oracle_accuracy"]
        return (
            f"The oracle ended {min(ended):.0%} to {max(ended):.0%} of the searches. Its probes know "
            f"{accuracy['least']['value']:.0%} of the test images or more, the held-out one "
            f"{accuracy['held_out']['value']:.0%}."
        )
