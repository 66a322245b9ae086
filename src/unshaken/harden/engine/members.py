"""What recipes that train several networks share: members, and passes in which each sees images of its own."""

from __future__ import annotations

import hashlib
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.ensemble import Average, Ensemble, members_of, redrawn, statistics
from unshaken.harden.engine.features import last_layer
from unshaken.harden.engine.recipe import Recipe, Setup, Step


class Members(Recipe):
    """A recipe that trains several networks of one architecture together.

    A model that is an ensemble already is trained on with the members that it has; any other becomes the first member,
    beside others of its architecture with fresh weights.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    members: int = Field(3, description="number of members, if the model is not already an ensemble", ge=2)

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        return with_members(model, self.members)

    @override
    def begin(self, setup: Setup) -> None:
        n = len(members_of(setup.model))
        if n < 2:
            raise ParameterError(
                f"{self.info.name}: an ensemble of {n} member has no diversity: give 2 members or more"
            )


def with_members(
    model: Classifier, count: int, *, average: Average = "probabilities", pretrained: bool = False
) -> Classifier:
    """An ensemble of one architecture: the model, beside others like it with fresh weights that follow from its own.

    Args:
        model: becomes the first member; an ensemble is returned as it is.
        count: number of members.
        average: how they answer together; see `Ensemble`.
        pretrained: whether the others keep the model's weights but for those of its last linear layer.
    """
    if isinstance(model.net, Ensemble):
        return model
    start, layer = _seed_of(model), last_layer(model.net) if pretrained else None
    members = [model, *(redrawn(model, start + i, layer=layer) for i in range(1, count))]
    inner = [
        Classifier(m.net, classes=model.classes, view=model.view, name=f"{model.name}-{i}")
        for i, m in enumerate(members)
    ]
    return Classifier(
        Ensemble(inner, average=average),
        **statistics(model),  # outside, where a kept model has them
        classes=model.classes,
        view=model.view,
        name=model.name,
    )


def members_in(step: Step) -> list[Classifier]:
    """The members under training."""
    return members_of(step.classifier)


def apart(step: Step, images: Tensor) -> Tensor:
    """Training-mode logits `[N, B, K]`, each member looking at images of its own.

    Args:
        step: the batch.
        images: `[N, B, C, H, W]`.
    """
    more = images.shape[0] * (images.shape[1] - 1)  # the loop counts what it is handed: N
    step.inner.meter.forwards += more
    step.inner.meter.backwards += more * torch.is_grad_enabled()
    with cast(Ensemble, step.classifier.net).apart():
        return step.model(images)


def alike(step: Step, images: Tensor) -> Tensor:
    """Training-mode logits `[N, B, K]`, all members looking at the same images `[B, C, H, W]`."""
    return apart(step, images.expand(len(members_in(step)), *images.shape))


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """`sum_i CE(z_i, y)`, means over the batch.

    Args:
        logits: `[N, B, K]`.
        labels: int64 `[B]`.
    """
    return torch.stack([F.cross_entropy(z, labels) for z in logits]).sum()


def _seed_of(model: Classifier) -> int:
    """A seed that follows from the weights: members of another first member are others."""
    digest = hashlib.blake2b(digest_size=6)
    for weight in model.parameters():
        digest.update(weight.detach().cpu().contiguous().view(-1)[:64].float().numpy().tobytes())
    return int.from_bytes(digest.digest(), "little")
