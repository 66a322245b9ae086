"""`Ensemble`: several networks that answer together, and how far an attack on one carries to the others."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import find_end_points
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch, batch_for
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import DataError, ModelError
from unshaken.core.oracle import Oracle, required
from unshaken.core.prediction import predict

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
    """Members that look at the same images; the answer is the logarithm of their mean probabilities, or mean logits.

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
    """Classifiers as one classifier.

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
    """A member that looks at images in [0, 1] by itself; it holds the same weights."""
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
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        for module in other.modules() if layer is None else (other.net.get_submodule(layer),):
            reset: Any = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return other


@dataclass(frozen=True, slots=True)
class Transferability:
    """What examples made on each member do to the others.

    Args:
        batch: the n images that all members get right.
        images: `[N, n, C, H, W]`, made on each.
        logits: `[N, N + 1, n, K]`: made on the first, said by the second; the last is the ensemble.
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
    search = PGD(steps=50, step_size=0.2) if attack is None else attack
    labels = required(batch.labels)
    with evaluating(model):
        right = torch.stack([predict(judge.exact(batch.images)) == labels for judge in judges[:-1]]).all(0)
        if not bool(right.any()):
            raise DataError(f"of {len(batch)} images there is none that all members get right: nothing to transfer")
        some = batch[right]
        made = torch.stack([find_end_points(m, search, some, norm=norm, eps=eps, seed=seed).x for m in members])
        answers = torch.stack([torch.stack([judge.exact(x) for judge in judges]) for x in made])
    return Transferability(some, made, answers)
