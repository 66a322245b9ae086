"""`TeacherRecipe`: what recipes share that learn from the answers of another network."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PrivateAttr, field_serializer, field_validator
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import UNFIT_INPUT, ModelError, ParameterError
from unshaken.core.texts import first_line
from unshaken.harden.engine.recipe import FirstTry, Recipe, Setup
from unshaken.models.loaders.load import second_model
from unshaken.models.within import choose_same


class TeacherRecipe(Recipe):
    """Base class of recipes that learn from another network's predictions."""

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    first_try: ClassVar[FirstTry] = FirstTry(parameters={"teacher": "demo:standard"})

    teacher: str | SkipJsonSchema[Classifier] = Field(description="SPEC of the teacher, or the classifier itself")
    _loaded: Classifier | None = PrivateAttr(default=None)

    @field_validator("teacher")
    @classmethod
    def _named(cls, teacher: str | Classifier) -> str | Classifier:
        if isinstance(teacher, str) and not teacher:
            raise ValueError("name the teacher, as in teacher=run:DIR")
        return teacher

    @field_serializer("teacher")
    def _written(self, teacher: str | Classifier) -> str:
        return teacher if isinstance(teacher, str) else f"<{teacher.name}>"

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.teacher,) if isinstance(self.teacher, str) else ()

    @override
    def begin(self, setup: Setup) -> None:
        found = second_model(self.teacher) if isinstance(self.teacher, str) else self.teacher
        found = choose_same(found.to(setup.images.device), setup.model, purpose="the teacher")
        what = f"the teacher {found.name!r}"
        try:
            refuse_probabilities(found, setup.images, what)
            with torch.no_grad(), evaluating(found):
                classes = found(setup.images).shape[1]
        except UNFIT_INPUT as error:
            shape = tuple(setup.images.shape[1:])
            raise ModelError(f"{what} cannot take images {shape}: {first_line(error)}") from None
        if classes != setup.classes:
            raise ModelError(f"{what} has {classes} classes, the data {setup.classes}: train one on the same classes")
        self._loaded = found

    @torch.no_grad()
    def taught(self, images: Tensor) -> Tensor:
        """The teacher's logits `[N, K]` on images as the student sees them.

        Args:
            images: `[N, C, H, W]` in [0, 1], augmented.

        Raises:
            ParameterError: training has not begun.
        """
        if self._loaded is None:
            raise ParameterError(f"{self.info.name}: the teacher is loaded when training begins; call begin first")
        with evaluating(self._loaded):
            logits: Tensor = self._loaded(images)
        return logits.to(images.dtype)


def refuse_probabilities(model: Classifier, images: Tensor, what: str) -> None:
    """Refuse a model that outputs probabilities instead of logits.

    Args:
        model: any; its mode and statistics are left as they are.
        images: a few, `[N, C, H, W]`.
        what: for the message.

    Raises:
        ModelError: its outputs lie in [0, 1] and sum to 1.
    """
    with torch.no_grad(), evaluating(model):
        out = model(images).float()
    if bool(((out >= 0) & (out <= 1)).all()) and bool(((out.sum(1) - 1).abs() < 1e-5).all()):
        raise ModelError(
            f"{what} gives probabilities, not logits: a temperature means nothing there; take its softmax off"
        )
