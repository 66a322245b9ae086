"""Triplet loss: metric learning on unit vectors, by all triplets of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.harden.engine.contrastive import triplet
from unshaken.harden.engine.features import last_layer, watched_features
from unshaken.harden.engine.recipe import Recipe, Setup, Step


@register("triplet", reference="Schroff et al. 2015, arXiv:1503.03832")
class Triplet(Recipe):
    """Triplet loss: makes images of a class nearer to each other than to those of other classes, by a margin.

    Trained is what goes into the last linear layer; that layer itself is not, so its logits mean nothing. Classify by
    prototypes or neighbours of the features, and give `select=last`. The cost of a step grows with the cube of the
    batch.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "logits are not trained, so there is no loss for an attack to raise",
        "targets": "triplets need one class an image",
        "views": "it has no loss for further views",
    }

    margin: PositiveFloat = Field(0.2, description="by which squared distances of unit vectors must differ, up to 4")
    mining: Literal["all", "semi-hard"] = Field("all", description="triplets that count; see `triplet`")

    @override
    def begin(self, setup: Setup) -> None:
        setup.model.net.get_submodule(last_layer(setup.model.net)).requires_grad_(False)

    @override
    def end(self, model: Classifier) -> None:
        model.net.get_submodule(last_layer(model.net)).requires_grad_(True)

    @override
    def loss(self, step: Step) -> Tensor:
        net = step.classifier.net
        with watched_features(net, last_layer(net)) as found:
            step.model(step.shown)
        return triplet(found[-1], step.labels, self.margin, semi_hard=self.mining == "semi-hard")
