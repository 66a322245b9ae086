"""Cyclic translation: the camera moves over the image as a torus."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.geometry.translation import Shift, gather


def cyclic_translation(images: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """Move the camera over the image as a torus: what leaves on one side enters on the other.

    Args:
        images: `[N, C, H, W]`.
        dy: int64 `[N]`, pixels down.
        dx: int64 `[N]`, pixels to the right.

    Returns:
        The same shape, with the same pixels in other places.
    """
    return gather(images, dy, dx, "wrap")


@register("cyclic_translation", reference="Azulay & Weiss 2019, arXiv:1805.12177", group="geometry")
class CyclicTranslation(Shift):
    """Move the camera by 1 to 5 pixels (the severity) over the image as a torus, in one of eight directions."""

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        dy, dx = self.moves(severity, rng)
        return cyclic_translation(images, dy.to(images.device), dx.to(images.device))
