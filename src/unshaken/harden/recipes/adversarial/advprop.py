"""AdvProp: adversarial images as further data, with batch norms of their own."""

from __future__ import annotations

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.problem import CrossEntropy, SoftCrossEntropy
from unshaken.core.classifier import Classifier
from unshaken.core.query import Objective
from unshaken.core.registry import register
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.recipe import Setup, Step
from unshaken.harden.engine.threat import IterativeRecipe
from unshaken.harden.recipes.adversarial._two_norms import (
    add_auxiliary_norms,
    remember,
    remove_auxiliary_norms,
    through_auxiliary,
)


@register("advprop", reference="Xie et al. 2020, arXiv:1911.09665")
class AdvProp(IterativeRecipe):
    """AdvProp: learns from images and from adversarial ones, which pass through batch norms of their own.

    `CE(f_main(x), y) + CE(f_aux(x'), y)`: all weights are shared but the batch norms, of which there are two sets, both
    in training mode; x' is found through the auxiliary set. The finished model has the main set alone: it is meant to
    be more accurate, not robust, so no robust accuracy is measured beside it. Published with PGD of 5 steps of 1/255
    in a ball of 4/255, or of a single step (`steps=1,step_size=1`).
    """

    eps: PositiveFloat = Field(4 / 255, description="radius in [0, 1] pixel units under the norm; 1 to 4/255 is usual")
    steps: int = Field(5, ge=1, description="gradient steps of the inner search; 1 or 5 is usual")
    targeted: bool = Field(False, description="lead towards a random other class, not away from the label")

    @property
    @override
    def threat(self) -> None:
        return

    @override
    def begin(self, setup: Setup) -> None:
        add_auxiliary_norms(setup.model.net, setup.model.name)
        remember(setup.model.net, setup.memory)

    def objective(self, step: Step) -> Objective | None:
        """What the attack raises; None for the cross-entropy of the labels."""
        if self.targeted:
            away = step.rng.fold("advprop target").integers(1, step.classes).to(step.labels)
            return CrossEntropy((step.labels + away) % step.classes, -1)
        return None if step.targets is None else SoftCrossEntropy(step.targets)

    @override
    def inner(self, step: Step) -> Tensor:
        model: Classifier = step.classifier
        remember(model.net, step.memory[self.info.name])
        found = Inner(model, step.images, precision=step.inner.precision, copied=False)  # a copy has the main norms
        found.meter = step.inner.meter
        with through_auxiliary(model.net):
            return found.find(
                self.search(),
                step.images,
                step.labels,
                step.rng.fold("advprop"),
                norm=self.norm,
                eps=self.eps,
                objective=self.objective(step),
            )

    @override
    def loss(self, step: Step) -> Tensor:
        clean = step.cross_entropy(step.model(step.images))
        with through_auxiliary(step.classifier.net):
            return clean + step.cross_entropy(step.model(step.shown))

    @override
    def end(self, model: Classifier) -> None:
        remove_auxiliary_norms(model.net)
