"""A blurred background: a stand-in for a simpler one."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.attribute_edit import REFERENCE, BackgroundEdit

SIGMAS = (1.0, 2.0, 4.0, 6.0, 8.0)
"""Standard deviation at severities 1 to 5, in pixels of a picture whose short side has 224."""


@register("background-blur", reference=REFERENCE, group="attributes")
class BackgroundBlur(BackgroundEdit):
    """Blur the background: a cheap stand-in for `background-complexity` below 0, which leaves natural images."""

    severities: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)

    @override
    def behind(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        sigma = max(0.5, SIGMAS[severity - 1] * min(images.shape[2:]) / 224)
        return gaussian_blur(self.backgrounds(images, masks), sigma)
