"""Base classes of adversarial recipes: the budget, and the inner attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from typing_extensions import override

from unshaken.attack.engine.base import Attack
from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method
from unshaken.harden.engine.recipe import Recipe, Threat


class AdversarialRecipe(Recipe):
    """Base class of recipes that train on adversarial examples."""

    takes: ClassVar[frozenset[str]] = frozenset({"inner", "loss"})

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="norm of the perturbation")
    eps: PositiveFloat = Field(8 / 255, description="radius in [0, 1] pixel units under the norm")

    @property
    @override
    def threat(self) -> Threat | None:
        return Threat(self.norm, self.eps)


class IterativeRecipe(AdversarialRecipe):
    """Base class of adversarial recipes whose attack makes several steps."""

    steps: PositiveInt = Field(10, description="gradient steps of the inner search")
    step_size: PositiveFloat = Field(0.25, description="length of a step, as a share of eps")
    attack: str = Field("pgd", description="attack to train on, by name; it must be a single search")

    @field_validator("attack")
    @classmethod
    def _single(cls, name: str) -> str:
        try:
            found = find_method(name, "attack").cls
        except ParameterError as error:
            raise ValueError(str(error)) from None
        if not issubclass(found, Attack) or not found.norms:
            raise ValueError(f"attack {name!r} is no single search in a norm: take pgd, fgsm, mi-fgsm or apgd")
        return name

    def search(self) -> Attack[Any]:
        """The inner search, with the steps and the step size that it knows."""
        cls = find_method(self.attack, "attack").cls
        own: Mapping[str, Any] = {"steps": self.steps, "step_size": self.step_size}
        found: Attack[Any] = cls(**{k: v for k, v in own.items() if k in cls.model_fields})
        return found
