"""`robust-weight-signatures`: robustness as a patch of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper

ALLOWED = 0.05
"""Clean accuracy on validation images that a patch may cost to be chosen."""
RANDOM = 3
"""Random patches of equal norms."""
SHARE, LOSS = 0.5, 0.06


@register("robust-weight-signatures", reference="Cai et al. 2023, arXiv:2302.12480")
class RobustWeightSignaturesPaper(Paper):
    """Can the robustness of fine-tuned weights be added to others as a small patch of their first layers?

    Six convolutions without norms, pretrained and fine-tuned here on CIFAR-10; noise in all seeds, blur, contrast, two
    patches at once and the transfer between classes in the first. For weights of one's own there is
    `unshaken.harden.surgery.surgery`.
    """

    title: ClassVar[str] = "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?"
    claim: ClassVar[str] = (
        "The difference between weights fine-tuned on corrupted and on clean data, with the direction of clean "
        "fine-tuning projected out, is a signature that lives in the first layers and can be added to a clean model, "
        "scaled, combined, quantised and moved to other data: robustness becomes a small file."
    )
    summary: ClassVar[str] = "Robustness can be added to trained weights as a small patch of the first layers."
    rule: ClassVar[str] = (
        "Reproduced if all hold for noise of deviation 0.2, on test images, as means over the seeds; layers and alpha "
        "being those of highest accuracy under noise with a clean loss below 5 points on validation images: (1) the "
        "patch recovers at least half of what the robust weights gain under noise; (2) it costs less than 6 points of "
        "clean accuracy; (3) the best of three random patches of equal norms per tensor gains less than it does."
    )
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "a signature is up to 13 times smaller than a full copy; no table of accuracies is at hand",
        "mean": {"recovered": "0.62 and 0.57 (pilot, two seeds)", "clean_loss": "0.050 and 0.047 (pilot, two seeds)"},
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "mean.recovered": ("Share of the robust weights' gain that the patch recovers", "share of the gain"),
        "mean.gain": ("Under noise, gained by the patch", "accuracy"),
        "mean.random_gain": ("Under noise, gained by the best random patch", "accuracy"),
        "mean.interpolated_gain": ("Under noise, gained by interpolating all weights", "accuracy"),
        "mean.quantised_gain": ("Under noise, gained by the patch in 16 levels", "accuracy"),
        "mean.clean_loss": ("Clean accuracy lost by the patch", "accuracy"),
        "mean.base_changed": ("Clean weights, under noise", "accuracy"),
        "mean.robust_changed": ("Robust weights, under noise", "accuracy"),
        "mean.base_clean": ("Clean weights, clean images", "accuracy"),
        "seed*.weights.size.ratio": ("Times that the patch is smaller than all weights", "ratio"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Six convolutions without norms on CIFAR-10 in the place of VGG-16 and ResNet-50.",
        "Figures are means over seeds, for noise of deviation 0.2; blur, contrast, two patches at once and transfer "
        "between classes are outside the rule.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "six convolutions"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "trials": {"layers": "int32", "alpha": "double", "clean": "double", "robust": "double"},
        "weights": {"value": "double"},
    }

    seeds: PositiveInt = Field(3, description="seeds of training")
    pretraining: PositiveInt = Field(12_000, description="images of the pretraining, at most 3/5 of all")
    tuning: PositiveInt = Field(8_000, description="other images of each fine-tuning")
    validation: PositiveInt = Field(2_000, description="images that choose layers and alpha")
    test: PositiveInt = Field(4_000, description="images that the figures are of")
    epochs: PositiveInt = Field(5, description="epochs of the pretraining")
    tuning_epochs: PositiveInt = Field(3, description="epochs of each fine-tuning")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        mean = measured["mean"]
        return [
            Check(
                f"the patch recovers {mean['recovered']:.2f} of the gain ({SHARE} needed)", mean["recovered"] >= SHARE
            ),
            Check(f"it costs {mean['clean_loss']:.3f} of clean accuracy (below {LOSS})", mean["clean_loss"] < LOSS),
            Check(
                f"random patches gain {mean['random_gain']:+.3f} at best, the patch {mean['gain']:+.3f}",
                mean["random_gain"] < mean["gain"],
            ),
        ]

    def remark(self, measured: Mapping[str, Any]) -> str:
        """The patch beside plain interpolation."""
        mean = measured["mean"]
        return (
            f"At the same alpha, interpolating all weights gains {mean['interpolated_gain']:+.3f} at a clean loss of "
            f"{mean['interpolated_loss']:.3f}, the patch {mean['gain']:+.3f} at {mean['clean_loss']:.3f}."
        )
