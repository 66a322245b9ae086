"""SimCLR: contrastive pretraining, two views of an image against those of all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.harden.engine.projection import ProjectionNet, add_projector, outputs, remove_projector
from unshaken.harden.engine.recipe import CLASSES, UNLABELLED, Recipe, Setup, Step
from unshaken.harden.engine.strong_views import SMALL, strong_view


def nt_xent(first: Tensor, second: Tensor, tau: float = 0.5) -> Tensor:
    """The loss of SimCLR: each of the 2 B views finds its partner among the 2 B - 1 others.

    Args:
        first: projections of one view of each sample, `[B, D]`.
        second: of the other view, `[B, D]`; gradients pass to both.
        tau: temperature.

    Returns:
        Float32 `[2 B]`, the first views' ahead; `log(2 B - 1)` where all are alike.

    Source: Chen et al. 2020, arXiv:2002.05709.
    """
    z = F.normalize(torch.cat([first, second]).float(), dim=1)
    logits = (z @ z.T / tau).fill_diagonal_(-torch.inf)
    places = torch.arange(len(z), device=z.device)
    return F.cross_entropy(logits, places.roll(len(first)), reduction="none")


class ContrastivePretraining(Recipe):
    """A recipe that trains features without labels, through a projection head that leaves when training ends.

    The head that gives the logits is not trained: fine-tune what comes out. Give `select=last`, for held-out accuracy
    says nothing here.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net"})
    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES, UNLABELLED})
    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "there is no label to attack; pretrain first, then train adversarially",
        "targets": "labels are not used; leave it for fine-tuning",
        "views": "it makes views of its own",
    }

    mirror: float = Field(
        default=0.5, description="probability of a mirror image; 0 where left and right mean something", ge=0, le=1
    )
    hidden: PositiveInt = Field(default=128, description="units of the projection head's hidden layer")
    projected: PositiveInt = Field(default=64, description="numbers of a projection; 128 is usual")
    seed: int = Field(default=0, ge=0, description="random seed of the projection head")

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        return add_projector(model, self.hidden, self.projected, self.seed)

    @override
    def begin(self, setup: Setup) -> None:
        net = cast(ProjectionNet, setup.model.net)
        with torch.no_grad(), net.giving("features"):
            setup.model(setup.images)  # raises at once where features do not fit
        net.last.requires_grad_(False)

    @override
    def end(self, model: Classifier) -> None:
        cast(ProjectionNet, model.net).last.requires_grad_(True)
        remove_projector(model)

    def views(self, step: Step) -> tuple[Tensor, Tensor]:
        """Two strong views of each image, each by the sample's own stream."""
        rng = step.rng.fold(self.info.name)
        one, two = (strong_view(step.images, view, rng.fold(f"view{i}"), self.mirror) for i, view in enumerate(SMALL))
        return one, two


@register("simclr", reference="Chen et al. 2020, arXiv:2002.05709")
class SimCLR(ContrastivePretraining):
    """SimCLR pretraining: makes two views of an image alike and those of different images unlike; needs no labels.

    Negatives are the images of a process's own batch: large batches help. The projection head leaves after the last
    step; fine-tune what comes out, or search its features for wrong labels. Give `select=last`.
    """

    temperature: PositiveFloat = Field(default=0.5, description="temperature")

    @override
    def loss(self, step: Step) -> Tensor:
        (both,) = outputs(step, torch.cat(self.views(step)), "projection")
        first, second = torch.chunk(both, 2)
        return nt_xent(first, second, self.temperature).mean()
