"""`adversarial-training`: the reference recipes, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, ClaimPart, Paper, decide, unpaired

EPS = 0.1
ORDER = ["standard", "fgsm-rs", "at", "trades"]
MIXED = ["crop-flip", "augmix", "pixmix"]
TRAINED = ("at", "trades")
"""Those of which the claim is made."""
FAR_CHECKED, LONG_CHECKED = 300, 500
"""Images on which the trainings of parts (b) and (c) are checked."""
GAIN, CORRUPTED_GAIN, CLEAN_COST, DROP = 0.20, 0.05, 0.02, 0.02


@register("adversarial-training", reference="Madry et al. 2018, arXiv:1706.06083 and the recipes after it")
class AdversarialTrainingPaper(Paper):
    """Do the standard recipes order as published, fail as published, and do the published remedies help?

    Small networks on Fashion-MNIST and CIFAR-10. With other images, part (a) alone is run on them.
    """

    title: ClassVar[str] = "Standard robust training recipes (PGD-AT, TRADES, FGSM-RS, AWP, AugMix, PixMix and others)"
    claim: ClassVar[str] = (
        "Adversarial training buys robustness at a cost of clean accuracy; single-step training can overfit "
        "catastrophically and noise prevents it; long training overfits robustly and averaging or weight perturbation "
        "lowers that; AugMix or PixMix raise accuracy under corruption at little clean cost."
    )
    summary: ClassVar[str] = "Robust training recipes, their two kinds of overfitting and the remedies, as published."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "robust-gain": ClaimPart(
            statement="Adversarial training (PGD or TRADES) makes a network far more robust than standard training.",
            rule="Shown if under AutoAttack both gain more than 20 points over standard training, by the paired "
            "interval; contradicted if one of them loses.",
        ),
        "clean-cost": ClaimPart(
            statement="It costs clean accuracy.",
            rule="Shown if the clean accuracy of both is below that of standard training, intervals apart; "
            "contradicted where they are apart the other way.",
        ),
        "catastrophic-overfitting": ClaimPart(
            statement="Training with single steps can lose its robustness against PGD within an epoch.",
            rule="FGSM from the clean image, one seed, PGD on training images: shown if the interval of the accuracy "
            "at the end lies below half of the best epoch's; contradicted if it lies above.",
        ),
        "noise-prevents": ClaimPart(
            statement="A start from noise (N-FGSM) prevents that.",
            rule="The same training from noise, one seed: shown if the interval of the accuracy at the end lies above "
            "half of the best epoch's; contradicted if it lies below.",
        ),
        "robust-overfitting": ClaimPart(
            statement="Long adversarial training overfits: robust accuracy on new images falls from its maximum.",
            rule="PGD training, one seed: shown if at the end it is at least 2 points below its maximum over epochs "
            "and the two intervals are apart. No end lies above its maximum: this cannot be contradicted.",
        ),
        "weight-perturbation": ClaimPart(
            statement="Weight perturbation (AWP) lowers robust overfitting.",
            rule="One seed: shown if robust accuracy on new images at the end is above that of training without it, "
            "intervals apart; contradicted where they are apart the other way. A smaller fall from the maximum does "
            "not count: it may come from a lower maximum.",
        ),
        "averaging": ClaimPart(
            statement="Averaging the weights (EMA) lowers robust overfitting.",
            rule="As for weight perturbation.",
            central=False,
        ),
        "augmix": ClaimPart(
            statement="AugMix gains much accuracy under corruption at little cost of clean accuracy.",
            rule="Against crop and flip, 15 corruptions at 5 severities, paired over images: shown if it gains more "
            "than 5 points and loses less than 2 clean ones, contradicted if it loses under corruption or more than 2 "
            "clean points; all by the whole interval.",
        ),
        "pixmix": ClaimPart(
            statement="PixMix gains much accuracy under corruption at little cost of clean accuracy.",
            rule="As for AugMix.",
        ),
        "other-recipes": ClaimPart(
            statement="MART, GradAlign, DeepAugment, Mixup and CutMix do as published.",
            untried="this experiment trains none of them.",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "ordering.standard.autoattack.value": "near 0",
        "published": "CIFAR-10, PreActResNet-18: PGD-AT best epoch 52.8, last 43.8 % under PGD-20; with AWP 55.4, 54.3",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "corruptions.augmix.gain": ("Corrupted accuracy gained by AugMix (0.05 needed)", "accuracy"),
        "corruptions.pixmix.gain": ("Corrupted accuracy gained by PixMix", "accuracy"),
        "corruptions.augmix.clean_gain": ("Clean accuracy gained by AugMix", "accuracy"),
        "ordering.standard.autoattack": ("Standard training, under AutoAttack", "accuracy"),
        "ordering.at.autoattack": ("PGD training, under AutoAttack", "accuracy"),
        "ordering.trades.autoattack": ("TRADES, under AutoAttack", "accuracy"),
        "catastrophic.fgsm.best": ("FGSM training at 0.3, under PGD, best epoch", "accuracy"),
        "catastrophic.fgsm.last": ("FGSM training at 0.3, under PGD, last epoch", "accuracy"),
        "robust_overfitting.at.best": ("Long PGD training, new images under PGD, best epoch", "accuracy"),
        "robust_overfitting.at.last": ("Long PGD training, new images under PGD, last epoch", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Small networks, few images and few epochs in the place of ResNets.",
        "Part (b) runs on Fashion-MNIST at 0.3: on CIFAR-10 at 16/255 this network learned nothing in 20 epochs, so "
        "that nothing could collapse.",
        "AutoAttack runs in its fast mode, on 100 images. Each network is trained once, with one seed.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "small"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "training": {"epoch": "int32", "name": "string", "value": "double"}
    }

    images: PositiveInt = Field(8000, description="training images of part (a)")
    epochs: PositiveInt = Field(8, description="epochs of part (a)")
    tested: PositiveInt = Field(1000, description="test images for clean and corrupted accuracy")
    attacked: PositiveInt = Field(100, description="of these, under AutoAttack")
    far_eps: PositiveFloat = Field(0.3, description="radius of part (b)")
    far_images: PositiveInt = Field(4000, description="training images of part (b)")
    far_epochs: PositiveInt = Field(12, description="epochs of part (b)")
    long_images: PositiveInt = Field(2500, description="training images of part (c), 500 of them held out")
    long_epochs: PositiveInt = Field(30, description="epochs of part (c)")
    mixed_images: PositiveInt = Field(8000, description="training images of part (d)")
    mixed_epochs: PositiveInt = Field(15, description="epochs of part (d)")

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `parts`; those that were run."""
        ordering = measured["ordering"]
        checks = [
            decide("robust-gain", f"{name}, under AutoAttack, more than standard", ordering[name]["gain"], above=GAIN)
            for name in TRAINED
        ]
        for name in TRAINED:
            words = f"{name}: clean accuracy lost"
            checks.append(decide("clean-cost", words, unpaired(ordering["standard"]["clean"], ordering[name]["clean"])))
        if "catastrophic" in measured:
            checks += _single_steps(measured["catastrophic"])
            checks += _long_training(measured["robust_overfitting"])
            checks += _augmentations(measured["corruptions"])
        return checks


def _single_steps(trained: Mapping[str, Any]) -> list[Check]:
    checks = []
    for part, name, lost in (("catastrophic-overfitting", "fgsm", True), ("noise-prevents", "n-fgsm", False)):
        one, last = trained[name], _checked(trained[name]["last"], FAR_CHECKED)
        half = {"value": one["best"] / 2, "low": one["best"] / 2, "high": one["best"] / 2}
        words = f"{name}: from {one['best']:.3f} in the best epoch to {one['last']:.3f}, "
        words += "below half of it by" if lost else "above half of it by"
        checks.append(decide(part, words, unpaired(half, last) if lost else unpaired(last, half)))
    return checks


def _long_training(trained: Mapping[str, Any]) -> list[Check]:
    at = trained["at"]
    fall = at["best"] - at["last"]
    last, best = (_checked(at[when], LONG_CHECKED) for when in ("last", "best"))
    words = f"robust accuracy on new images is {100 * fall:.1f} points below the best of {at['epochs']} checks"
    checks = [
        Check(f"{words}, 2 needed", fall >= DROP, "robust-overfitting"),
        decide("robust-overfitting", "best less last", unpaired(best, last)),
    ]
    for part, name in (("weight-perturbation", "awp"), ("averaging", "ema")):
        one = trained[name]
        words = (
            f"{name}: fall of {100 * (one['best'] - one['last']):.1f} points from {one['best']:.3f} in the place of "
        )
        words += f"{100 * fall:.1f} from {at['best']:.3f}; at the end more by"
        checks.append(decide(part, words, unpaired(_checked(one["last"], LONG_CHECKED), last)))
    return checks


def _augmentations(trained: Mapping[str, Any]) -> list[Check]:
    checks = []
    for name in MIXED[1:]:
        one = trained[name]
        checks.append(decide(name, "gained under corruption", one["gain"], above=CORRUPTED_GAIN))
        checks.append(decide(name, "gained on clean images", one["clean_gain"], above=-CLEAN_COST))
    return checks


def _checked(accuracy: float, n: int) -> dict[str, Any]:
    """An accuracy on so many images with its interval."""
    from unshaken.measure import share

    return share(round(accuracy * n), n).to_json()
