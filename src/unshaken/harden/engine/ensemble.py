"""Several networks that answer together, what recipes that train them share, and how far an attack on one carries."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import find_end_points
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch, batch_for
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.device import widen
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.rng import seeded
from unshaken.harden.engine.layers import last_layer
from unshaken.harden.engine.recipe import Recipe, Setup, Step

Average = Literal["probabilities", "logits"]
"""What an ensemble averages over its members."""


def mean_prediction(logits: Tensor) -> Tensor:
    """`log(1/N sum_i softmax(z_i))` without a logarithm of zero: logsumexp of the log-probabilities less log N.

    Args:
        logits: `[..., N, K]` of N members.

    Returns:
        Log-probabilities `[..., K]`; of a single member its logits as they are.

    >>> mean_prediction(torch.tensor([[2.0, 0.0], [0.0, 1.0]])).exp().tolist()
    [0.5748..., 0.4251...]
    """
    n = logits.shape[-2]
    return logits.squeeze(-2) if n == 1 else _mixed(logits, n)


def _mixed(logits: Tensor, n: int) -> Tensor:
    return logits.log_softmax(-1).logsumexp(-2) - math.log(n)


class Ensemble(nn.Module):
    """Members that get the same images; the answer is the logarithm of their mean probabilities, or mean logits.

    Args:
        members: classifiers with the same classes in the same order, each with its own preprocessing.
        average: what is averaged.

    Raises:
        ModelError: there is no member.
    """

    def __init__(self, members: Sequence[Classifier], *, average: Average = "probabilities") -> None:
        super().__init__()
        if not members:
            raise ModelError("an ensemble needs a member: give one classifier or more")
        self.members = nn.ModuleList(members)
        self.average: Average = average
        self.split = False

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.split:
            return torch.stack([member(images[i]) for i, member in enumerate(self.members)])
        if len(self.members) == 1:
            alone: Tensor = self.members[0](images)
            return alone
        answers = self.predictors(images)
        return answers.mean(1) if self.average == "logits" else _mixed(answers, len(self.members))

    def predictors(self, images: Tensor) -> Tensor:
        """The members' own logits, `[B, N, K]`."""
        return torch.stack([member(images) for member in self.members], 1)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside, each member looks at images of its own."""
        self.split = True
        try:
            yield
        finally:
            self.split = False


def ensemble(members: Sequence[Classifier], *, name: str = "ensemble") -> Classifier:
    """One classifier that answers by the mean probabilities of several.

    Args:
        members: with the same classes in the same order; they are not copied.
        name: what reports call it.

    Raises:
        ModelError: there is none, or their class names or views differ.
    """
    net = Ensemble(members)
    first = members[0]
    for member in members[1:]:
        if member.classes != first.classes or member.view != first.view:
            raise ModelError(
                f"{first.name!r} and {member.name!r} differ in their classes or views: they cannot answer together"
            )
    return Classifier(
        net,
        classes=first.classes,
        view=first.view,
        name=name,
        differentiable=all(m.differentiable for m in members),
    )


def members_of(model: Classifier) -> list[Classifier]:
    """The members of an ensemble, each a classifier of images in [0, 1].

    Raises:
        ModelError: the model is a single network.
    """
    if not isinstance(model.net, Ensemble):
        raise ModelError(f"model {model.name!r} is a single network: make an ensemble of several by ensemble([...])")
    members = [cast(Classifier, member) for member in model.net.members]
    return members if model.mean is None else [_normalised(member, model) for member in members]


def _normalised(member: Classifier, outer: Classifier) -> Classifier:
    """A member with the outer normalisation, for images in [0, 1]; it holds the same weights."""
    own = member.net if member.mean is None else member
    return Classifier(
        own, **statistics(outer), classes=outer.classes, view=outer.view, name=member.name, reject=outer.reject
    ).train(member.training)


def statistics(model: Classifier) -> dict[str, Any]:
    """The mean and deviation that a classifier normalises with, as its constructor takes them."""
    return {
        "mean": None if model.mean is None else model.mean.flatten().tolist(),
        "std": None if model.std is None else model.std.flatten().tolist(),
    }


def redrawn(model: Classifier, seed: int, *, layer: str | None = None) -> Classifier:
    """A copy of a classifier with fresh weights in every module that knows how to draw its own.

    Args:
        model: left as it is.
        seed: of the weights.
        layer: name of the only layer of the net to draw anew; None for all.
    """
    other = copy.deepcopy(model)
    with seeded(seed):
        for module in other.modules() if layer is None else (other.net.get_submodule(layer),):
            reset: Any = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return other


@dataclass(frozen=True, slots=True)
class Transferability:
    """Results of showing examples that were made on each member to the others.

    Args:
        batch: the n images that all members get right.
        images: `[N, n, C, H, W]`, made on each.
        logits: `[N, N + 1, n, K]`: made on the first, outputs of the second; the last is the ensemble.
    """

    batch: Batch
    images: Tensor
    logits: Tensor

    @property
    def fooled(self) -> Tensor:
        """Bool `[N, N + 1, n]`."""
        return predict(self.logits) != required(self.batch.labels)

    @property
    def rates(self) -> Tensor:
        """Shares of the n images that are fooled, `[N, N + 1]`."""
        return widen(self.fooled).mean(2)

    @property
    def off_diagonal(self) -> float:
        """The mean rate from one member to another."""
        rates = self.rates[:, :-1]
        return float((rates.sum() - rates.trace()) / (len(rates) * (len(rates) - 1)))


def transferability(
    model: Classifier,
    batch: Batch,
    *,
    norm: str = "linf",
    eps: float = 0.03,
    attack: Attack[Any] | None = None,
    seed: int = 0,
) -> Transferability:
    """Attack each member alone, to the last step, and show what was found to all others.

    Args:
        model: an ensemble.
        batch: labelled images; those that some member gets wrong are left out.
        norm: of the budget.
        eps: radius in [0, 1] pixel units.
        attack: a single search; default PGD of 50 steps of a fifth of eps.
        seed: of the search.

    Raises:
        ModelError: the model is a single network.
        DataError: no image is left.
    """
    members = members_of(model)
    judges = [Oracle(m, limit=batch_for(batch.images)) for m in (*members, model)]
    search = PGD(steps=50, rel_stepsize=0.2) if attack is None else attack
    labels = required(batch.labels)
    with evaluating(model):
        right = torch.stack([predict(judge.exact(batch.images)) == labels for judge in judges[:-1]]).all(0)
        if not bool(right.any()):
            raise DataError(f"of {len(batch)} images there is none that all members get right: nothing to transfer")
        some = batch[right]
        made = torch.stack([find_end_points(m, search, some, norm=norm, eps=eps, seed=seed).x for m in members])
        answers = torch.stack([torch.stack([judge.exact(x) for judge in judges]) for x in made])
    return Transferability(some, made, answers)


class Members(Recipe):
    """A recipe that trains several networks of one architecture together.

    A model that is an ensemble already is trained on with the members that it has; any other becomes the first member,
    beside others of its architecture with fresh weights.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    members: int = Field(
        default=3, description="number of members, if the model is not already an ensemble", ge=2, le=100
    )

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
    digest = hashlib.blake2b(digest_size=6)  # seeds follow from the weights: another first member has other members
    for weight in model.parameters():
        digest.update(weight.detach().cpu().contiguous().view(-1)[:64].float().numpy().tobytes())
    start, layer = int.from_bytes(digest.digest(), "little"), last_layer(model.net) if pretrained else None
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
    """The members of the ensemble under training."""
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
