"""`adversarial-training`: the reference recipes, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper, decide, in_every_seed, seeds_in
from unshaken.papers.effects import constant, unpaired, values_of

EPS = 0.1
ORDER = ["standard", "fgsm-rs", "at", "trades"]
MIXED = ["crop-flip", "augmix", "pixmix"]
TRAINED = ("at", "trades")
"""Those of which the claim is made."""
FAR_CHECKED, LONG_CHECKED = 150, 500
"""Images on which the trainings of parts (b) and (c) are checked: training images, and held-out ones."""
REMEDIES = {"awp": "weight-perturbation", "ema": "averaging"}
"""Arm to the part of the claim that is made of it."""
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
            rule="Shown if in every seed both gain more than 20 points over standard training under AutoAttack, by the "
            "paired interval; contradicted if one of them loses.",
        ),
        "clean-cost": ClaimPart(
            statement="It costs clean accuracy.",
            rule="Shown if in every seed the clean accuracy of both is below that of standard training, by the paired "
            "interval; contradicted where it is above.",
        ),
        "catastrophic-overfitting": ClaimPart(
            statement="Training with single steps can lose its robustness against PGD within an epoch.",
            rule="FGSM from the clean image, PGD on training images: shown if in every seed the interval of the "
            "accuracy at the end lies below half of the best epoch's, which the other seeds choose; contradicted if "
            "it lies above.",
        ),
        "noise-prevents": ClaimPart(
            statement="A start from noise (N-FGSM) prevents that.",
            rule="The same training from noise: shown if in every seed the interval of the accuracy at the end lies "
            "above half of the best epoch's; contradicted if it lies below.",
        ),
        "robust-overfitting": ClaimPart(
            statement="Long adversarial training overfits: robust accuracy on new images falls from its maximum.",
            rule="PGD training: shown if at the end it is more than 2 points below that of the best epoch, which the "
            "other seeds choose, by the interval over seeds; contradicted if it is above.",
        ),
        "weight-perturbation": ClaimPart(
            statement="Weight perturbation (AWP) lowers robust overfitting.",
            rule="Shown if, by the intervals over seeds, robust accuracy on new images falls less from the best epoch "
            "to the end than without it, and is higher at the end; contradicted if either is the other way. A smaller "
            "fall alone does not count: it may come from a lower maximum.",
        ),
        "averaging": ClaimPart(
            statement="Averaging the weights (EMA) lowers robust overfitting.",
            rule="As for weight perturbation.",
            central=False,
        ),
        "augmix": ClaimPart(
            statement="AugMix gains much accuracy under corruption at little cost of clean accuracy.",
            rule="Against crop and flip, 15 corruptions at 5 severities, paired over images: shown if in every seed it "
            "gains more than 5 points and loses less than 2 clean ones, contradicted if it loses under corruption or "
            "more than 2 clean points; all by the whole interval.",
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
        "seed0.ordering.standard.autoattack": "near 0",
        "published": "CIFAR-10, PreActResNet-18: PGD-AT best epoch 52.8, last 43.8 % under PGD-20; with AWP 55.4, 54.3",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "seed*.corruptions.augmix.gain": ("Corrupted accuracy gained by AugMix (0.05 needed)", "accuracy"),
        "seed*.corruptions.pixmix.gain": ("Corrupted accuracy gained by PixMix", "accuracy"),
        "seed*.corruptions.augmix.clean_gain": ("Clean accuracy gained by AugMix", "accuracy"),
        "seed*.ordering.standard.autoattack": ("Standard training, under AutoAttack", "accuracy"),
        "seed*.ordering.at.autoattack": ("PGD training, under AutoAttack", "accuracy"),
        "seed*.ordering.trades.autoattack": ("TRADES, under AutoAttack", "accuracy"),
        "seed*.catastrophic.fgsm.best": ("FGSM training at 0.3, under PGD, best epoch", "accuracy"),
        "seed*.catastrophic.fgsm.last": ("FGSM training at 0.3, under PGD, last epoch", "accuracy"),
        "seed*.robust_overfitting.at.best": ("Long PGD training, new images under PGD, best epoch", "accuracy"),
        "seed*.robust_overfitting.at.last": ("Long PGD training, new images under PGD, last epoch", "accuracy"),
    }
    differs: ClassVar[Sequence[str]] = (
        "Small networks, few images and few epochs in the place of ResNets.",
        "Part (b) runs on Fashion-MNIST at 0.3, with a network of 64,618 parameters; on CIFAR-10 at 16/255 it did not "
        "collapse in 30 epochs of single steps.",
        "AutoAttack runs in its fast mode.",
    )
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = "small"
    tables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "training": {"epoch": "int32", "name": "string", "value": "double"}
    }

    full: ClassVar[Mapping[str, Any]] = {
        "images": 4000,
        "epochs": 6,
        "tested": 1000,
        "attacked": 100,
        "far_images": 4000,
        "far_epochs": 8,
        "long_images": 2000,
        "long_epochs": 48,
        "mixed_images": 8000,
        "mixed_epochs": 15,
    }

    seeds: PositiveInt = Field(3, description="networks of each kind, two at least", ge=2)
    images: PositiveInt = Field(2000, description="training images of part (a)")
    epochs: PositiveInt = Field(3, description="epochs of part (a)")
    lr: PositiveFloat = Field(0.03, description="learning rate of part (a)")
    tested: PositiveInt = Field(300, description="test images for clean and corrupted accuracy")
    attacked: PositiveInt = Field(40, description="of these, under AutoAttack")
    far_eps: PositiveFloat = Field(0.3, description="radius of part (b)")
    far_images: PositiveInt = Field(2000, description="training images of part (b)")
    far_epochs: PositiveInt = Field(6, description="epochs of part (b)")
    far_lr: PositiveFloat = Field(0.02, description="learning rate of part (b)")
    long_images: PositiveInt = Field(1100, description="training images of part (c), 500 of them held out")
    long_epochs: PositiveInt = Field(15, description="epochs of part (c)")
    long_lr: PositiveFloat = Field(0.02, description="learning rate of part (c)")
    mixed_images: PositiveInt = Field(2000, description="training images of part (d)")
    mixed_epochs: PositiveInt = Field(4, description="epochs of part (d)")
    mixed_lr: PositiveFloat = Field(0.03, description="learning rate of part (d)")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        seeds = [part for _, part in seeds_in(measured)]
        long = [part["robust_overfitting"] for part in seeds if "robust_overfitting" in part]
        return [*in_every_seed(measured, _of_one_seed), *(_long_training(long) if long else ())]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        mixed = [part["corruptions"][MIXED[0]] for _, part in seeds_in(measured) if "corruptions" in part]
        if not mixed:
            return ""
        lost = ", ".join(f"{100 * (one['clean']['value'] - one['corrupted']):.1f}" for one in mixed)
        return (
            f"Corruption costs the network that learned from crop and flip {lost} points of accuracy in all: of so "
            f"much a gain of {100 * CORRUPTED_GAIN:g} is wanted."
        )


def _of_one_seed(part: Mapping[str, Any]) -> list[Check]:
    ordering = part["ordering"]
    checks = []
    for name in TRAINED:
        one = ordering[name]
        checks.append(decide("robust-gain", f"{name}, under AutoAttack, more than standard", one["gain"], above=GAIN))
        checks.append(decide("clean-cost", f"{name}: clean accuracy lost", unpaired(constant(0.0), one["clean_gain"])))
    if "catastrophic" in part:
        checks += _single_steps(part["catastrophic"])
    if "corruptions" in part:
        checks += _augmentations(part["corruptions"])
    return checks


def _single_steps(trained: Mapping[str, Any]) -> list[Check]:
    checks = []
    for part, name, lost in (("catastrophic-overfitting", "fgsm", True), ("noise-prevents", "n-fgsm", False)):
        best, last = trained[name]["best"]["value"], trained[name]["last"]
        half = constant(best / 2)
        words = f"{name}: from {best:.3f} in epoch {trained[name]['best_epoch']} to {last['value']:.3f}, "
        words += "below half of it by" if lost else "above half of it by"
        checks.append(decide(part, words, unpaired(half, last) if lost else unpaired(last, half)))
    return checks


def _long_training(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Falls from the best epoch to the end, and accuracies at the end, of each arm over the seeds."""
    of = partial(values_of, seeds)
    fall = {arm: of(arm, "best") - of(arm, "last") for arm in ("at", *REMEDIES)}
    words = "robust accuracy on new images, best epoch less last"
    checks = [decide("robust-overfitting", words, fall["at"], above=DROP, opposed_below=0.0)]
    for arm, part in REMEDIES.items():
        more = of(arm, "last") - of("at", "last")
        checks.append(decide(part, f"{arm}: falls less by", fall["at"] - fall[arm]))
        checks.append(decide(part, f"{arm}: at the end more by", more))
    return checks


def _augmentations(trained: Mapping[str, Any]) -> list[Check]:
    checks = []
    for name in MIXED[1:]:
        one = trained[name]
        checks.append(decide(name, "gained under corruption", one["gain"], above=CORRUPTED_GAIN))
        checks.append(decide(name, "gained on clean images", one["clean_gain"], above=-CLEAN_COST))
    return checks
