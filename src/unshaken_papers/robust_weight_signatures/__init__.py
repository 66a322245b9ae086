"""`robust-weight-signatures`: robustness as a patch of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, seeds_in
from unshaken_papers.robust_weight_signatures.verdict import judge_signatures

ALLOWED = 0.05
"""Clean accuracy on validation images that a patch may cost to be chosen."""
KINDS = ("noise", "blur", "contrast")


@register("robust-weight-signatures", reference="Cai et al. 2023, arXiv:2302.12480")
class RobustWeightSignaturesPaper(Paper):
    """Can the robustness of fine-tuned weights be added to others as a small patch of their first layers?

    Six convolutions without norms, pretrained and fine-tuned here on CIFAR-10; noise, blur, contrast, two patches at
    once and the transfer between classes. For weights of one's own there is `unshaken.harden.surgery.surgery`.
    """

    title: ClassVar[str] = "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?"
    claim: ClassVar[str] = (
        "The difference between weights fine-tuned on corrupted and on clean data, with the direction of clean "
        "fine-tuning projected out, is a signature that lives in the first layers and can be added to a clean model, "
        "scaled, combined, quantised and moved to other data: robustness becomes a small file."
    )
    summary: ClassVar[str] = "Robustness can be added to trained weights as a small patch of the first layers."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "gain": ClaimPart(
            statement="Adding the signature to clean weights gives them most of the robustness of weights that were "
            "fine-tuned on the corruption.",
            rule="Under noise of deviation 0.2 on test images. Layers and alpha are chosen on validation images: with "
            "a clean loss below 5 points, the fewest layers within a standard error of the highest accuracy under "
            "noise. Shown if over the seeds the patch gains accuracy, and more than half of what the robust weights "
            "gain; contradicted if it loses accuracy.",
        ),
        "clean-cost": ClaimPart(
            statement="The patched weights keep their accuracy on clean images.",
            rule="Shown if over the seeds the patch costs less than 6 points of clean accuracy; contradicted if more.",
        ),
        "control": ClaimPart(
            statement="The signature does it, not the size of the change.",
            rule="Shown if over the seeds the patch gains more under noise than the best of three random patches of "
            "equal norm per tensor, and than interpolation of all weights with an alpha chosen on the same validation "
            "images by the same limit of clean loss; contradicted if it gains less than either.",
        ),
        "first-layers": ClaimPart(
            statement="The signature lives in the first layers.",
            rule="Shown if in every seed the patch that is chosen on validation images leaves out some of the six "
            "layers.",
        ),
        "small-file": ClaimPart(
            statement="Robustness becomes a small file, up to 13 times smaller than the weights.",
            rule="Shown if over the seeds the patch, not quantised, is smaller than all weights; contradicted if it "
            "is larger.",
            central=False,
        ),
        "projection": ClaimPart(
            statement="What is added is the part of the change that clean fine-tuning does not explain.",
            rule="Shown if over the seeds the patch gains more under noise, with the same layers and alpha, than the "
            "plain difference of weights; contradicted if it gains less.",
            central=False,
        ),
        "quantised": ClaimPart(
            statement="The signature can be quantised.",
            rule="Shown if over the seeds 16 levels a tensor cost the patch less than 1 point, under noise and on "
            "clean images; contradicted if more.",
            central=False,
        ),
        "scaled": ClaimPart(
            statement="The signature can be scaled, and removed again.",
            rule="Shown if over the seeds accuracy under noise rises from no patch to alpha 0.5, and from there to "
            "1, and in every seed the weights from which the patch is removed give at most one image in a thousand "
            "another class than the clean weights; contradicted if accuracy falls.",
            central=False,
        ),
        "other-corruptions": ClaimPart(
            statement="The same holds of other corruptions.",
            rule="Blur and contrast, each as noise under `gain`: shown if for both the patch gains accuracy over the "
            "seeds, and more than half of what the robust weights gain; contradicted if it loses under either.",
            central=False,
        ),
        "combined": ClaimPart(
            statement="Signatures of two corruptions can be added together.",
            rule="Those of noise and blur, each as chosen for itself: shown if over the seeds their sum gains accuracy "
            "under noise and under blur; contradicted if it loses under either.",
            central=False,
        ),
        "moved": ClaimPart(
            statement="A signature can be moved to weights that were fine-tuned on other data.",
            rule="From the lower half of the classes to the upper, layers and alpha as chosen for all classes: shown "
            "if over the seeds the signature gains accuracy under noise, and more than a random patch of equal norm; "
            "contradicted if less than either.",
            central=False,
        ),
        "identifies": ClaimPart(
            statement="Signatures of one corruption from different data are more alike than those of two corruptions.",
            rule="Shown if over the seeds the cosine of the signatures of noise from two halves of the classes is "
            "larger than that of noise and blur, and of noise and contrast; contradicted if it is smaller than either.",
            central=False,
        ),
    }
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
        "Figures are means over seeds, for noise of deviation 0.2; interpolation has an alpha chosen for itself.",
        "Other data are the other half of the classes.",
    )
    data: ClassVar[str] = "cifar10"
    model: ClassVar[str] = "six convolutions"
    chooses: ClassVar[Mapping[str, str]] = {"trials": "*"}
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "trials": {"images": "int32", "layers": "int32", "alpha": "double", "clean": "double", "robust": "double"},
        "weights": {"value": "double"},
    }

    full: ClassVar[Mapping[str, Any]] = {
        "seeds": 6, "pretraining": 8000, "tuning": 5000, "validation": 2000, "test": 4000, "epochs": 5,
    }  # fmt: skip

    seeds: PositiveInt = Field(3, description="seeds of training")
    pretraining: PositiveInt = Field(5_000, description="images of the pretraining, at most 3/5 of all")
    tuning: PositiveInt = Field(2_000, description="other images of each fine-tuning")
    validation: PositiveInt = Field(600, description="images that choose layers and alpha")
    test: PositiveInt = Field(1_200, description="images that the figures are of")
    epochs: PositiveInt = Field(4, description="epochs of the pretraining")
    tuning_epochs: PositiveInt = Field(3, description="epochs of each fine-tuning")

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
