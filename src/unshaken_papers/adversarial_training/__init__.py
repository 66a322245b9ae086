"""`adversarial-training`: the reference recipes, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row, seeds_in
from unshaken.papers.effects import across_seeds, values_of

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


@row(__file__)
class AdversarialTrainingPaper(Paper):
    """Do the standard recipes order as published, fail as published, and do the published remedies help?

    Small networks on Fashion-MNIST and CIFAR-10. With other images, part (a) alone is run on them.
    """

    seeds: PositiveInt = Field(description="networks of each kind, two at least", ge=2)
    images: PositiveInt = Field(description="training images of part (a)")
    epochs: PositiveInt = Field(description="epochs of part (a)")
    lr: PositiveFloat = Field(description="learning rate of part (a)")
    tested: PositiveInt = Field(description="test images for clean and corrupted accuracy")
    attacked: PositiveInt = Field(description="of these, under AutoAttack")
    far_eps: PositiveFloat = Field(description="radius of part (b)")
    far_images: PositiveInt = Field(description="training images of part (b)")
    far_epochs: PositiveInt = Field(description="epochs of part (b)")
    far_lr: PositiveFloat = Field(description="learning rate of part (b)")
    long_images: PositiveInt = Field(description="training images of part (c), 500 of them held out")
    long_epochs: PositiveInt = Field(description="epochs of part (c)")
    long_lr: PositiveFloat = Field(description="learning rate of part (c)")
    mixed_images: PositiveInt = Field(description="training images of part (d)")
    mixed_epochs: PositiveInt = Field(description="epochs of part (d)")
    mixed_lr: PositiveFloat = Field(description="learning rate of part (d)")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, "cifar10"] if data == self.data else [data]

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        seeds = [part for _, part in seeds_in(measured)]
        checks = _ordering(seeds)
        for name, of_part in (
            ("catastrophic", _single_steps), ("robust_overfitting", _long_training), ("corruptions", _augmentations)
        ):  # fmt: skip
            if all(name in part for part in seeds):
                checks += of_part([part[name] for part in seeds])
        return checks

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


def _ordering(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Gains and costs over seeds, each of which has images of its own."""
    of, checks = partial(values_of, seeds, "ordering"), []
    for name in TRAINED:
        checks.append(
            decide("robust-gain", f"{name}, under AutoAttack, more than standard", of(name, "gain"), above=GAIN)
        )
        checks.append(decide("clean-cost", f"{name}: clean accuracy lost", -of(name, "clean_gain")))
    return checks


def _single_steps(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    """What the largest fall within each training leaves."""
    checks = []
    for part, name, sign in (("catastrophic-overfitting", "fgsm", -1), ("noise-prevents", "n-fgsm", 1)):
        left = values_of(seeds, name, "left")
        words = f"{name}: share of robust accuracy left by the largest fall, {'below' if sign < 0 else 'above'} half by"
        checks.append(decide(part, words, across_seeds(sign * (left - 0.5), low=-0.5, high=0.5)))
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


def _augmentations(seeds: Sequence[Mapping[str, Any]]) -> list[Check]:
    checks = []
    for name in MIXED[1:]:
        gain, clean = (values_of(seeds, name, figure) for figure in ("gain", "clean_gain"))
        checks.append(decide(name, f"{name}: gained under corruption", gain, above=CORRUPTED_GAIN))
        checks.append(decide(name, f"{name}: gained on clean images", clean, above=-CLEAN_COST))
    return checks
