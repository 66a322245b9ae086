"""`shape-simplicity-bias`: do adversarially trained networks go by shape, and are their units simpler?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, in_every_seed, row

EPS = 8 / 255
PLAIN, ROBUST, JUDGE = "plain", "robust", "judge"
"""The network that is trained plainly, the one trained on adversarial examples, and one that only gives features."""
FAINT, STRONG = (4, 8), 16
"""Amplitudes of gratings in 1/255: those that adversarial training must drop, and one above its budget."""
GARMENTS = (0, 1, 3, 7, 8, 9)
"""Classes of Fashion-MNIST with different outlines: T-shirt, trouser, dress, sneaker, bag, boot."""
GAP, CUES = 0.3, 0.7
"""Difference of shape biases, and share of decisions for a cue, that the first rule asks for."""
NOISE = 0.1
STIMULI = ("scramble-2", "scramble-4", "blur-1", "blur-1.5", "grey", "noise-0.05", f"noise-{NOISE:g}")
TOP = 49


@row(__file__)
class ShapeSimplicityPaper(Paper):
    """Does adversarial training turn a network from texture to shape, and make its units simpler?

    Small networks on CIFAR-10 and on outlines of garments with class-bound gratings, each trained plainly and on
    adversarial examples.
    """

    seeds: int = Field(ge=2, description="networks of each kind")
    images: PositiveInt = Field(description="training images")
    epochs: PositiveInt = Field(description="epochs of training")
    tested: PositiveInt = Field(description="test images")
    attacked: PositiveInt = Field(description="test images under attack")
    steps: PositiveInt = Field(description="steps of the inner attack of adversarial training")
    garments: str = Field(description="SPEC of the images whose outlines are taken")
    outlines: PositiveInt = Field(description="outlines to learn from")
    outline_tests: PositiveInt = Field(description="outlines to choose and judge by, one third and two thirds")
    outline_epochs: PositiveInt = Field(description="epochs of training on outlines")
    composites: PositiveInt = Field(description="images with known concepts")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, self.garments]

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return [*in_every_seed(measured, self._shape), *super().judge(measured)]

    def _shape(self, part: Mapping[str, Any]) -> list[Check]:
        checks = []
        for name, above in (("chosen", GAP), ("strong", 0.0)):
            one = part[name]
            words = f"shape bias at {one['amplitude']}/255, robust minus plain"
            for net in (PLAIN, ROBUST):
                share = one[net]["cue_share"]["value"]
                checks.append(Check(f"{words}: {share:.1%} of {net}'s decisions for a cue", share >= CUES, "shape"))
            if one.get("difference"):
                checks.append(decide("shape", words, one["difference"], above=above))
            else:
                checks.append(Check(f"{words}: one decides for no cue", False, "shape"))
        return checks
