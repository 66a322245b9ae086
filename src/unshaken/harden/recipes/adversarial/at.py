"""PGD adversarial training: learn from the worst images that an attack finds."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.losses import SoftCrossEntropy
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import IterativeRecipe, Step


@register("at", reference="Madry et al. 2018, arXiv:1706.06083")
class AdversarialTraining(IterativeRecipe):
    """Adversarial training: trains on PGD examples, `min_w E max_{x' in ball} CE(f_w(x'), y)`.

    The attack looks at the model in evaluation mode; mixed labels are attacked as they are mixed.
    """

    @override
    def inner(self, step: Step) -> Tensor:
        objective = None if step.targets is None else SoftCrossEntropy(step.targets)
        return step.inner.find(
            self.search(),
            step.images,
            step.labels,
            step.rng.fold("at"),
            norm=self.norm,
            eps=self.eps,
            objective=objective,
        )

    @override
    def loss(self, step: Step) -> Tensor:
        return step.cross_entropy(step.model(step.shown))
