"""Triplet loss: metric learning on unit vectors, by all triplets of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.harden.engine.layers import last_layer, watched_features
from unshaken.harden.engine.recipe import Recipe, Setup, Step


def triplet(features: Tensor, labels: Tensor, margin: float = 0.2, *, semi_hard: bool = False) -> Tensor:
    """The mean of `d(a, p) - d(a, n) + margin` over the triplets of a batch where it is above 0; d is `2 - 2 cos`.

    Args:
        features: `[B, D]`, of any length.
        labels: int64 `[B]`: a and p are two samples of one class, n is of another one.
        margin: above 0.
        semi_hard: count only the triplets whose n is further than their p.

    Returns:
        A number; 0, with a graph, where no triplet counts.

    Source: Schroff et al. 2015, arXiv:1503.03832; all triplets of a batch: Hermans et al. 2017, arXiv:1703.07737.
    """
    u = F.normalize(features.float(), dim=1)
    distance = 2 - 2 * u @ u.T
    same = labels[:, None] == labels[None]
    anchors, positives = (same & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)).nonzero(as_tuple=True)
    near = distance[anchors, positives][:, None]
    losses = (near - distance[anchors] + margin)[~same[anchors]]
    counts = losses > 0
    if semi_hard:
        counts &= losses < margin
    chosen = losses[counts]
    return chosen.mean() if len(chosen) else 0 * distance.sum()


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

    margin: PositiveFloat = Field(
        default=0.2, description="by which squared distances of unit vectors must differ, up to 4"
    )
    mining: Literal["all", "semi-hard"] = Field(default="all", description="triplets that count; see `triplet`")

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
