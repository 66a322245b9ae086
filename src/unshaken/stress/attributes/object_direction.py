"""The object turned."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.attribute_edit import REFERENCE, ObjectEdit
from unshaken.stress.engine.object_layers import Layer, resize_object, turn_object

ANGLES = (15.0, 30.0, 45.0, 90.0, 180.0)
"""Largest angle at severities 1 to 5, in degrees either way."""


@register("object-direction", reference=REFERENCE, group="attributes")
class ObjectDirection(ObjectEdit):
    """Turn the object by a random angle, at most 15, 30, 45, 90 or 180 degrees either way; it is made small first."""

    severities: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)

    size: float = Field(
        default=0.05, description="share of the picture to which the object is resized first; 0 for none", ge=0, le=1
    )

    @override
    def change(self, image: Tensor, mask: Tensor, severity: int, rng: SampleRng) -> Layer:
        layer = resize_object(image, mask, self.size) if self.size else Layer(image, mask)
        most = ANGLES[severity - 1]
        angle = float(rng.fold("angle").uniform(1, low=-most, high=most)[0, 0])
        return layer if layer.problem else Layer(*turn_object(layer.image, layer.mask, angle))
