"""The control: the picture's own background, mirrored."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.attribute_edit import REFERENCE, BackgroundEdit


@register("background-mirror", reference=REFERENCE, group="attributes")
class BackgroundMirror(BackgroundEdit):
    """Mirror the background from left to right behind the object: the control of the other edits.

    The background keeps its statistics, and there are filled holes and pasted edges as in any edit: what this costs is
    due to them, and an attribute costs what its edit costs beyond.
    """

    @override
    def behind(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        return self.backgrounds(images, masks).flip(3)
