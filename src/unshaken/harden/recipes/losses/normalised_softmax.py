"""Normalised softmax loss: unit features, unit class weights and a fixed scale, so that classes can be added later."""

from __future__ import annotations

from typing import ClassVar, cast

from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.core.rng import seeded
from unshaken.harden.engine.layers import last_layer
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.models.networks.unit_head import Constraint, UnitHead, find_unit_head


@register("normalised-softmax", reference="Hyperspherical embedding, arXiv:2102.03243; NormFace, arXiv:1704.06369")
class NormalisedSoftmax(Recipe):
    """Normalised softmax: logits are `s cos(h, w)`, so that a class can be added as the mean direction of examples.

    The last linear layer is replaced by one without bias whose rows and inputs have fixed lengths; the loss is the
    usual cross-entropy. `unshaken.tasks.few_shot.PrototypeHead` adds classes to what comes out, without training.

    Features must have both signs: those that come from a ReLU lie in one corner of the sphere, where new classes look
    like all others. `embedding` puts a linear layer before the head, for networks that have none.

    A low scale cannot fit many classes: the smallest loss is `log(1 + (K - 1) exp(-s K / (K - 1)))`.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"net"})

    scale: PositiveFloat = Field(default=10.0, description="s, by which cosines are multiplied; 10 to 20 are usual")
    constraint: Constraint = Field(
        default="project",
        description="how class weights keep length 1: projected after each step, or learned as v / ||v||",
    )
    embedding: NonNegativeInt = Field(
        default=0, description="numbers of a linear layer put before the head; 0 for none, 64 for features of a ReLU"
    )
    seed: int = Field(default=0, ge=0, description="random seed of the class weights")

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        if find_unit_head(model.net) is not None:
            return model
        name = last_layer(model.net)
        old = cast(nn.Linear, model.net.get_submodule(name))
        with seeded(self.seed):
            width = self.embedding or old.in_features
            head: nn.Module = UnitHead(width, old.out_features, self.scale, self.constraint)
            if self.embedding:
                head = nn.Sequential(nn.Linear(old.in_features, width), head)
        model.net.set_submodule(name, head.to(old.weight.device))
        return model

    @override
    def after_step(self, step: Step) -> None:
        head = find_unit_head(step.classifier.net)
        if head is not None:
            head.project()
