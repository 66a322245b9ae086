"""AdvProp: adversarial images as further data, with batch norms of their own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.losses import CrossEntropy, SoftCrossEntropy
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.core.query import Objective
from unshaken.core.registry import register
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.recipe import IterativeRecipe, Memory, Setup, Step


@dataclass(slots=True)
class Switch:
    """State of a net: whether it uses the auxiliary set of norms."""

    auxiliary: bool = False


class AuxiliaryNorm(nn.BatchNorm2d):
    """A batch norm that is in no state dict: the weights that are kept of a net are those of its main set."""

    @override
    def _save_to_state_dict(self, *_: Any) -> None:
        pass

    @override
    def _load_from_state_dict(self, *_: Any) -> None:
        pass


class TwoNorms(nn.BatchNorm2d):
    """The main batch norm, with an auxiliary one beside it; see `add_auxiliary_norms`."""

    auxiliary_norm: AuxiliaryNorm
    switch: Switch

    @override
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.auxiliary_norm(x) if self.switch.auxiliary else super().forward(x)
        return found


def add_auxiliary_norms(net: nn.Module, name: str) -> None:
    """Put an auxiliary norm, a copy, beside every batch norm over channels, in place; the net computes as before.

    Args:
        net: changed in place; one that has them already is left as it is.
        name: of the model, for the message.

    Raises:
        ModelError: there is no batch norm.
    """
    switch = Switch()
    norms: list[Any] = [m for m in net.modules() if type(m) is nn.BatchNorm2d]
    if not norms and not two_norms(net):
        raise ModelError(
            f"advprop: model {name!r} has no batch norm (BatchNorm2d) to have two sets of: use at or mixup"
        )
    for norm in norms:
        auxiliary: Any = copy.deepcopy(norm)
        auxiliary.__class__ = AuxiliaryNorm
        norm.__class__ = TwoNorms  # the same module with the same tensors, so that nobody who holds it is left behind
        norm.auxiliary_norm, norm.switch = auxiliary, switch


def two_norms(net: nn.Module) -> list[TwoNorms]:
    """The norms of a net that have an auxiliary one beside them."""
    return [m for m in net.modules() if isinstance(m, TwoNorms)]


@contextmanager
def through_auxiliary(net: nn.Module) -> Iterator[None]:
    """Passes inside go through the auxiliary norms."""
    switch = two_norms(net)[0].switch
    try:
        switch.auxiliary = True
        yield
    finally:
        switch.auxiliary = False


@torch.no_grad()
def remember(net: nn.Module, memory: Memory) -> None:
    """Make a memory hold the tensors of the auxiliary norms themselves; what a checkpoint put there is taken over.

    Args:
        net: with auxiliary norms.
        memory: of the recipe.
    """
    for i, norm in enumerate(two_norms(net)):
        own = norm.auxiliary_norm
        for name, tensor in [*own.named_parameters(), *own.named_buffers()]:
            key = f"{i}.{name}"
            if key in memory and memory[key].data_ptr() != tensor.data_ptr():
                tensor.copy_(memory[key])
            memory[key] = tensor.detach()


@register("advprop", reference="Xie et al. 2020, arXiv:1911.09665")
class AdvProp(IterativeRecipe):
    """AdvProp: learns from images and from adversarial ones, which pass through batch norms of their own.

    `CE(f_main(x), y) + CE(f_aux(x'), y)`: all weights are shared but the batch norms, of which there are two sets, both
    in training mode; x' is found through the auxiliary set. The finished model has the main set alone: it is meant to
    be more accurate, not robust, so no robust accuracy is measured beside it. Published with PGD of 5 steps of 1/255
    in a ball of 4/255, or of a single step (`steps=1,rel_stepsize=1`).
    """

    eps: PositiveFloat = Field(
        default=4 / 255, description="radius in [0, 1] pixel units under the norm; 1 to 4/255 is usual"
    )
    steps: int = Field(default=5, ge=1, description="gradient steps of the inner search; 1 or 5 is usual")
    targeted: bool = Field(default=False, description="lead towards a random other class, not away from the label")

    @property
    @override
    def threat(self) -> None:
        return

    @override
    def begin(self, setup: Setup) -> None:
        add_auxiliary_norms(setup.model.net, setup.model.name)
        remember(setup.model.net, setup.memory)

    def objective(self, step: Step) -> Objective | None:
        """The objective that the attack raises; None for the cross-entropy of the labels."""
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
        norms: list[Any] = [*two_norms(model.net)]
        for norm in norms:
            del norm.auxiliary_norm, norm.switch
            norm.__class__ = nn.BatchNorm2d
