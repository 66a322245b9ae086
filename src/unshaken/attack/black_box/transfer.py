"""Transfer: adversarial examples of a surrogate, tried on the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack, BudgetedAttack
from unshaken.attack.gradient.apgd import APGD
from unshaken.core.classifier import Classifier
from unshaken.core.errors import UNFIT_INPUT, ParameterError
from unshaken.core.flag import Flag
from unshaken.core.registry import parse_method, register
from unshaken.core.texts import first_line
from unshaken.models.loaders.load import second_model
from unshaken.models.within import choose_same


@register("transfer", reference="Papernot et al. 2016, arXiv:1605.07277", needs=("labels",))
class Transfer(BudgetedAttack):
    """Transfer attack: finds adversarial examples on a surrogate model and tries them on this one.

    Nothing of the model is asked while searching, so it works on black boxes, and where the model's own gradients are
    masked. The search makes all its steps: an example that fools the surrogate by far is likelier to fool the model.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    surrogate: str = Field(
        default="", description="SPEC of the surrogate; empty for the model itself, where it has gradients"
    )
    steps: PositiveInt = Field(default=100, description="gradient steps on the surrogate, for each loss")
    loss: Literal["ce", "margin", "both"] = Field(default="both", description="loss to maximise on the surrogate")
    search: str = Field(
        default="", description="another single attack on the surrogate, NAME[:k=v,...]; empty for APGD"
    )

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.surrogate,) if self.surrogate else ()

    @override
    def most_passes(self, classes: int) -> int | None:
        if self.search:
            return self._single().most_passes(classes)
        return len(self._losses) * sum(APGD(steps=self.steps).cost(classes))

    @property
    def _losses(self) -> list[Literal["ce", "margin"]]:
        return ["ce", "margin"] if self.loss == "both" else [self.loss]

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        model = context.oracle.model
        surrogate = model
        if self.surrogate:
            found = second_model(self.surrogate).to(context.oracle.device)
            surrogate = choose_same(found, model, purpose="transfer: the surrogate")
        if not surrogate.differentiable:
            raise ParameterError(
                f"transfer: {surrogate.name!r} gives no gradients: use a surrogate that does, such as "
                "transfer:surrogate=torchvision:resnet18"
            )
        if self.surrogate and context.reference is not None:
            _check_fit(surrogate, context)
        if self.search:
            why = f"{self.search} on {surrogate.name}"
            return [Phase(self._single(), "transfer", why=why, surrogate=surrogate)], []
        return [
            Phase(
                APGD(loss=loss, steps=self.steps),
                f"transfer-{loss}",
                why=f"{loss} on {surrogate.name}",
                surrogate=surrogate,
            )
            for loss in self._losses
        ], []

    def _single(self) -> Attack[Any]:
        """The attack that `search` names."""
        found = parse_method(self.search, "attack")
        if not isinstance(found, Attack) or found.minimal or not found.norms:
            raise ParameterError(
                f"transfer: search {self.search!r} is not a single search under a norm; use one such as pgd"
            )
        return found


def _check_fit(surrogate: Classifier, context: AttackContext) -> None:
    images = context.reference.images[:1] if context.reference is not None else torch.zeros(0)
    try:
        with torch.no_grad():
            classes = surrogate(images).shape[1]
    except UNFIT_INPUT as error:
        shape = tuple(images.shape[1:])
        raise ParameterError(
            f"transfer: the surrogate {surrogate.name!r} cannot take images {shape}: {first_line(error)}"
        ) from None
    if classes != context.classes:
        raise ParameterError(
            f"transfer: the surrogate {surrogate.name!r} has {classes} classes, the model {context.classes}: "
            "use one with the same classes in the same order"
        )
