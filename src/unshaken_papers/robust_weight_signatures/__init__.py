"""`robust-weight-signatures`: robustness as a patch of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, row, seeds_in
from unshaken_papers.robust_weight_signatures.verdict import judge_signatures

ALLOWED = 0.05
"""Clean accuracy on validation images that a patch may cost to be chosen."""
KINDS = ("noise", "blur", "contrast")


@row(__file__)
class RobustWeightSignaturesPaper(Paper):
    """Can the robustness of fine-tuned weights be added to others as a small patch of their first layers?

    Six convolutions without norms, pretrained and fine-tuned here on CIFAR-10; noise, blur, contrast, two patches at
    once and the transfer between classes. For weights of one's own there is `unshaken.harden.surgery.surgery`.
    """

    seeds: PositiveInt = Field(description="seeds of training")
    pretraining: PositiveInt = Field(description="images of the pretraining, at most 3/5 of all")
    tuning: PositiveInt = Field(description="other images of each fine-tuning")
    validation: PositiveInt = Field(description="images that choose layers and alpha")
    test: PositiveInt = Field(description="images that the figures are of")
    epochs: PositiveInt = Field(description="epochs of the pretraining")
    tuning_epochs: PositiveInt = Field(description="epochs of each fine-tuning")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        return judge_signatures([part for _, part in seeds_in(measured)])

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        mean = measured["mean"]
        return (
            f"Each as chosen on validation images, interpolation of all weights gains "
            f"{mean['interpolated_gain']:+.3f} at a clean loss of {mean['interpolated_loss']:.3f}, the patch "
            f"{mean['gain']:+.3f} at {mean['clean_loss']:.3f}."
        )
