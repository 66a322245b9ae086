"""FGSM-RS: adversarial training by a single step from a random start, fast and prone to catastrophic overfitting."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.losses import SoftCrossEntropy
from unshaken.attack.engine.step_length import StepLength
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import AdversarialRecipe, Step


@register("fgsm-rs", title="FGSM rs", reference="Wong et al. 2020, arXiv:2001.03994")
class FgsmRs(StepLength, AdversarialRecipe):
    """FGSM-RS: single-step adversarial training from a random start, `d <- clip(d + a sign(g), -eps, eps)`.

    With `random_start` off it is FGSM training from the clean image, the classic way into catastrophic overfitting.
    """

    longest_step: ClassVar[float] = 2.0

    rel_stepsize: PositiveFloat = Field(default=1.25, description="length a of the one step, as a share of eps")
    random_start: bool = Field(default=True, description="start at a random point of the ball, else at the clean image")

    @override
    def inner(self, step: Step) -> Tensor:
        objective = None if step.targets is None else SoftCrossEntropy(step.targets)
        attack = PGD(steps=1, random_start=self.random_start, **self.chosen_step)
        rng = step.rng.fold("fgsm-rs")
        return step.inner.find(attack, step.images, step.labels, rng, norm=self.norm, eps=self.eps, objective=objective)

    @override
    def loss(self, step: Step) -> Tensor:
        return step.cross_entropy(step.model(step.shown))
