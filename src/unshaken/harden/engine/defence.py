"""`Defence`: a guard put around a model at inference. It changes no weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.registry import Parameters
from unshaken.harden.engine.draws import Draws


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
