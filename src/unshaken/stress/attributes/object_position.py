"""The object at another place."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.attribute_edit import REFERENCE, ObjectEdit
from unshaken.stress.engine.object_layers import Layer, move_object, resize_object


@register("object-position", reference=REFERENCE, group="attributes")
class ObjectPosition(ObjectEdit):
    """Move the object to a random place, uniform over all at which its box is inside; it is made small first."""

    size: float = Field(
        default=0.05, description="share of the picture to which the object is resized first; 0 for none", ge=0, le=1
    )

    @override
    def change(self, image: Tensor, mask: Tensor, severity: int, rng: SampleRng) -> Layer:
        layer = resize_object(image, mask, self.size) if self.size else Layer(image, mask)
        down, across = rng.fold("corner").uniform(2)[0].tolist()
        return layer if layer.problem else Layer(*move_object(layer.image, layer.mask, down, across))
