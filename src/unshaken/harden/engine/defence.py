"""`Defence`: a guard put around a model at inference. It changes no weights; what it draws comes from one seed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.registry import Parameters


class Draws(nn.Module):
    """A source of random numbers that a module holds; a pass takes the next generator.

    Pass number n after a reset draws the same numbers whatever was drawn elsewhere. They depend on what else is in the
    batch, as those of any random model do.

    Args:
        seed: of all draws.
        frozen: draw the same numbers at every pass.
    """

    state_attributes: ClassVar[frozenset[str]] = frozenset({"seed", "stream", "passes"})
    """What a fingerprint of the model leaves out."""

    def __init__(self, seed: int = 0, *, frozen: bool = False) -> None:
        super().__init__()
        self.frozen = frozen
        self.reset(seed)

    def reset(self, seed: int | str, stream: int = 0) -> None:
        """Start the draws anew from a seed.

        Args:
            seed: of all draws.
            stream: number of the source within its model.
        """
        self.seed, self.stream, self.passes = seed, stream, 0

    def next(self) -> torch.Generator:
        """The generator of this pass, on the CPU."""
        text = f"{self.seed}\x1f{self.stream}\x1f{0 if self.frozen else self.passes}"
        self.passes += 1
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little")
        return torch.Generator().manual_seed(number)


def uniform(generator: torch.Generator, like: Tensor, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform in [low, high), on the device and of the type of a tensor."""
    drawn = torch.rand(shape, generator=generator)
    return drawn.mul_(high - low).add_(low).to(like)


class Defence(Parameters, ABC):
    """Base class of inference-time defences; its fields are its parameters.

    What it gives is a classifier through which gradients pass wherever they can, so that an attack through the guard
    (an adaptive one) is as easy to run as one on the bare model.
    """

    room: ClassVar[str] = "harden"

    @property
    def random(self) -> bool:
        """Whether two passes over the same image may differ: then attacks average several (EoT)."""
        return False

    @abstractmethod
    def wrap(self, model: Classifier) -> Classifier:
        """The guarded model, best a `GuardedModel`, on the same device, in evaluation mode.

        Args:
            model: left as it is; the guard holds the same weights.

        Raises:
            ModelError: this model cannot be guarded so.
        """


def stand_in(net: nn.Module, model: Classifier, name: str) -> Classifier:
    """Another net as a classifier with a model's classes and view, in evaluation mode.

    Args:
        net: from images in [0, 1] to logits.
        model: whose classes and view these are.
        name: of the classifier, for reports.
    """
    return Classifier(net, classes=model.classes, view=model.view, name=name).eval()


class GuardedModel(Classifier):
    """A model with a defence, and what an adaptive attack on it must know.

    Args:
        net: from images in [0, 1] to logits, the guard included.
        model: what is guarded; classes and view are taken from it.
        name: of the guard, for reports.
        random: whether two passes over the same image may differ.
        bare: the model without the guard; default the model itself.
        surrogates: gives differentiable stand-ins by name, with the same weights, where gradients through the guard
            mislead. Examples made on them are judged behind the guard.
    """

    def __init__(
        self,
        net: nn.Module,
        model: Classifier,
        *,
        name: str,
        random: bool = False,
        bare: Classifier | None = None,
        surrogates: Callable[[], Mapping[str, Classifier]] | None = None,
    ) -> None:
        super().__init__(
            net,
            classes=model.classes,
            view=model.view,
            differentiable=model.differentiable,
            name=f"{name}({model.name})",
            reject=model.reject,
        )
        self.random = random
        self._others: tuple[Classifier] = (model if bare is None else bare,)  # in a tuple: no submodule twice
        self._surrogates = surrogates
        self.eval()

    @property
    def bare(self) -> Classifier:
        """The model without the guard."""
        return self._others[0]

    def surrogates(self) -> Mapping[str, Classifier]:
        """Stand-ins by name; none where gradients through the guard are honest."""
        return {} if self._surrogates is None else self._surrogates()

    def reseed(self, seed: int | str) -> None:
        """Let all that the guard draws follow from a seed, from here on."""
        reseed(self, seed)


def reseed(model: nn.Module, seed: int | str) -> None:
    """Let all that guards in a model draw follow from a seed, from here on; nothing for a model without randomness."""
    for number, draws in enumerate(m for m in model.modules() if isinstance(m, Draws)):
        draws.reset(seed, number)
