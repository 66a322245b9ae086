"""A noisy background: a stand-in for a more complex one."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.attribute_edit import REFERENCE, BackgroundEdit

DEVIATIONS = (0.05, 0.1, 0.15, 0.2, 0.25)
"""Standard deviation at severities 1 to 5."""


@register("background-noise", reference=REFERENCE, group="attributes")
class BackgroundNoise(BackgroundEdit):
    """Add Gaussian noise to the background: a cheap stand-in for `background-complexity` above 0."""

    severities: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)

    @override
    def behind(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        noise = rng.fold("noise").normal(*images.shape[1:])
        return self.backgrounds(images, masks) + DEVIATIONS[severity - 1] * noise
