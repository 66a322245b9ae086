"""`Defence`: a guard put around a model at inference. It changes no weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from unshaken.core.classifier import Classifier
from unshaken.core.registry import Parameters


class Defence(Parameters, ABC):
    """A guard around a model; its fields are its parameters.

    What it gives is a `Classifier` through which gradients pass wherever they can, so that an attack through the guard
    (an adaptive one) is as easy to run as one on the bare model.
    """

    room: ClassVar[str] = "harden"
    random: ClassVar[bool] = False
    """Whether two passes over the same image may differ: then attacks average several (EoT)."""

    @abstractmethod
    def wrap(self, model: Classifier) -> Classifier:
        """The guarded model, on the same device, in evaluation mode.

        Args:
            model: left as it is; the guard holds the same weights.

        Raises:
            ModelError: this model cannot be guarded so.
        """
