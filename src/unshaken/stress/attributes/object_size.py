"""The object smaller, or as large as the picture."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.attribute_edit import REFERENCE, ObjectEdit
from unshaken.stress.engine.object_layers import Layer, fill_picture, resize_object

SIZES = {2: 0.1, 3: 0.08, 4: 0.05}
"""Severity to the share of the picture that the object covers; at severity 1 its box fills the picture."""


@register("object-size", reference=REFERENCE, group="attributes")
class ObjectSize(ObjectEdit):
    """Resize the object: to the whole picture (severity 1), or to 10, 8 or 5 % of it (2 to 4)."""

    severities: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)

    @override
    def change(self, image: Tensor, mask: Tensor, severity: int, rng: SampleRng) -> Layer:
        return Layer(*fill_picture(image, mask)) if severity == 1 else resize_object(image, mask, SIZES[severity])
