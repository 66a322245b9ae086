"""Frost."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions._ice import drawn_textures, fitting, read_textures
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.hsv import luma


def frost(images: Tensor, a: float, b: float, crops: Sequence[Tensor]) -> Tensor:
    """Look through an iced window: `a x + b T`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        a: share of the image.
        b: share of the ice.
        crops: the ice T for each image, `[C, H, W]` in [0, 1].

    Returns:
        The same shape, not clipped.
    """
    result = images * a
    for target, crop in zip(result, crops, strict=True):
        target.add_(crop, alpha=b)
    return result


@register(
    "frost", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="weather", comparable="with textures"
)
class Frost(Corruption):
    """Blend the image with a random part of a texture of ice.

    Published errors were measured with the authors' photos of ice. Give their folder as `textures`; without it the ice
    is drawn by rule, the results do not compare with published ones, and `comparable` says so.
    """

    textures: str | None = Field(None, description="folder with photos of ice; without it the ice is drawn by rule")
    count: int = Field(5, ge=1, description="textures used: the folder's first by name (the authors draw from five)")

    # a, b, size of the texture
    strengths = Severities(
        imagenet=((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
        cifar=((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
        tiny=((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
    )

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return () if self.textures is None else (self.textures,)

    @property
    def comparable(self) -> bool:
        """Whether results compare with published ones: only with the authors' textures."""
        return self.textures is not None

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float, float], rng: SampleRng) -> Tensor:
        a, b, scale = c
        height, width = images.shape[2:]
        textures = (
            drawn_textures(self.count, scale)
            if self.textures is None
            else read_textures(self.textures, self.count, scale)
        )
        which = rng.fold("texture").integers(0, len(textures)).tolist()
        places = rng.fold("place").uniform(2).tolist()
        crops = []
        for index, (down, right) in zip(which, places, strict=True):
            ice = fitting(textures[index], height, width)
            top, left = int(down * (ice.shape[1] - height)), int(right * (ice.shape[2] - width))
            crop = ice[:, top : top + height, left : left + width].to(images.device)
            crops.append(luma(crop[None])[0] if images.shape[1] == 1 else crop)
        return frost(images, a, b, crops)
