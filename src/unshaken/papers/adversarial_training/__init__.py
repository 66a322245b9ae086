"""`adversarial-training`: the reference recipes, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from unshaken.core.registry import register
from unshaken.papers.frame import Check, Paper

EPS = 0.1
ORDER = ["standard", "fgsm-rs", "at", "trades"]
MIXED = ["crop-flip", "augmix", "pixmix"]
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
    summary: ClassVar[str] = (
        "Robust training recipes, their two kinds of overfitting and the remedies work as published."
    )
    rule: ClassVar[str] = (
        "Reproduced if all hold: (a) under AutoAttack PGD-AT and TRADES keep at least 20 points more than standard "
        "training; (b) FGSM training from the clean image ends with at most half of its best PGD accuracy on training "
        "images, and N-FGSM does not; (c) robust accuracy on images not trained on ends at least 2 points below its "
        "maximum, and AWP or EMA lower that drop; (d) AugMix or PixMix gain at least 5 points of mean corrupted "
        "accuracy (15 corruptions, 5 severities) at a clean cost of at most 2."
    )
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
        "AutoAttack runs in its fast mode, on 100 images.",
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
        """The parts of the rule, those that were run."""
        ordering = measured["ordering"]
        gains = {name: ordering[name]["gain"]["value"] for name in ("at", "trades")}
        told = ", ".join(f"{name} {100 * gain:+.1f}" for name, gain in gains.items())
        checks = [Check(f"(a) points over standard under AutoAttack: {told}", min(gains.values()) >= GAIN)]
        if "catastrophic" not in measured:
            return checks
        far, long, mixed = measured["catastrophic"], measured["robust_overfitting"], measured["corruptions"]
        fell = {name: one["last"] <= one["best"] / 2 for name, one in far.items()}
        told = ", ".join(f"{name} {one['best']:.1%} to {one['last']:.1%}" for name, one in far.items())
        checks.append(Check(f"(b) PGD on training images, best to last: {told}", fell["fgsm"] and not fell["n-fgsm"]))
        drops = {name: one["best"] - one["last"] for name, one in long.items()}
        told = ", ".join(f"{name} {100 * drop:.1f}" for name, drop in drops.items())
        lower = min(drops["awp"], drops["ema"]) < drops["at"]
        checks.append(Check(f"(c) points below the maximum at the end: {told}", drops["at"] >= DROP and lower))
        gained = {n: (mixed[n]["gain"]["value"], mixed[n]["clean_gain"]["value"]) for n in MIXED[1:]}
        told = ", ".join(f"{n} {100 * g:+.1f} corrupted, {100 * c:+.1f} clean" for n, (g, c) in gained.items())
        holds = any(g >= CORRUPTED_GAIN and c >= -CLEAN_COST for g, c in gained.values())
        checks.append(Check(f"(d) points over crop and flip: {told}", holds))
        return checks
