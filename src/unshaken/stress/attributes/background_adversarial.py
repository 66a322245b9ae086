"""A complex background that also misleads a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, NonNegativeFloat, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.registry import register
from unshaken.models.loaders.load import second_model
from unshaken.stress.attributes.background_complexity import BackgroundComplexity
from unshaken.stress.engine.attribute_edit import REFERENCE
from unshaken.stress.engine.complexity import Push, lead_away

NO_GUIDE = FlagKind(
    "no-guide",
    "a background was to mislead a model, and none was named: it is only more complex",
    "Name the model with misled=SPEC: the one that you evaluate, or another one to try whether the images transfer.",
)


@register("background-adversarial", reference=REFERENCE, group="attributes")
class BackgroundAdversarial(BackgroundComplexity):
    """Make the background more complex and mislead a named model by it: 20-adv of ImageNet-E.

    Each step also follows the gradient by which that model leaves the class that it gives the unedited image. Images
    depend on that model, not on the one that is evaluated: every model sees the same. For the named model it is an
    attack that sees gradients, for others one that has to transfer; do not average it with other edits.
    """

    misled: str = Field(
        default="", description="SPEC of the classifier that backgrounds are to mislead; empty for none"
    )
    scale: NonNegativeFloat = Field(
        default=10.0, description="weight of its gradient at severity 2, scaled as guidance is; with a generator"
    )
    _misled: Classifier | None = PrivateAttr(None)

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (*super().further_models, *([self.misled] if self.misled else []))

    def with_misled(self, model: Classifier) -> Self:
        """The same edit against a model from memory.

        Args:
            model: in evaluation mode.
        """
        return self._with("_misled", model)

    @override
    def push(self, image: Tensor, growth: float) -> Push | None:
        if self._misled is None and not self.misled:
            return None
        model = (second_model(self.misled) if self._misled is None else self._misled).to(image.device)
        direction = lead_away(model, image)
        return lambda pictures: self.scale * growth * direction(pictures)

    @override
    def flags(self, batch: Batch, severities: Sequence[int], seed: int) -> list[Flag]:
        found = super().flags(batch, severities, seed)
        return (
            found
            if self._misled is not None or self.misled
            else [*found, NO_GUIDE.flag(f"{self.info.name}: misled=''")]
        )
