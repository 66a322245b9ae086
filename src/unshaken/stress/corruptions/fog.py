"""Fog."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.plasma import plasma, plasma_size


def fog(images: Tensor, c: float, field: Tensor) -> Tensor:
    """Lay fog over an image and bring its brightest value back: `(x + c P) max(x) / (max(x) + c)`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        c: thickness, at least 0.
        field: the fog P in [0, 1], `[N, H, W]`.

    Returns:
        The same shape, in [0, max(x)].
    """
    brightest = images.flatten(1).amax(1).view(-1, 1, 1, 1)
    return (images + (field * c).unsqueeze(1)).mul_(brightest / (brightest + c))


@register("fog", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="weather")
class Fog(Corruption):
    """Add a diamond-square fractal of fog."""

    chunk = 2**20  # the fractal's small levels cost the same for one image or many

    strengths = Severities(
        imagenet=((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        cifar=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        tiny=((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float], rng: SampleRng) -> Tensor:
        height, width = images.shape[2:]
        size = plasma_size(max(height, width))
        draws = rng.fold("fog").uniform(size * size - 1, low=-1, high=1).to(images.device)
        return fog(images, c[0], plasma(draws, size, c[1])[:, :height, :width])
