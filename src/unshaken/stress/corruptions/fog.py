"""Fog."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def plasma_size(side: int) -> int:
    """The map's side for an image's longer side in pixels: the next power of two."""
    return 1 << (side - 1).bit_length()


def plasma(draws: Tensor, size: int, decay: float) -> Tensor:
    """A wrapped height map by the diamond-square method.

    From one corner at height 0, each level halves the grid: the centre of a square, then the middle of its left and
    upper edge, are the mean of their four neighbours plus `w U(-w, w)`. The wobble `w` starts at 100 and is divided by
    `decay` after each level, so the noise falls by `decay` squared.

    Args:
        draws: float32 `[N, size * size - 1]`, uniform on [-1, 1), level by level: centres, upper edges, left edges.
        size: side in pixels, a power of two.
        decay: above 1; the larger, the smoother.

    Returns:
        Float32 `[N, size, size]`, each map scaled to run from 0 to 1.
    """
    grid, wobble, used = draws.new_zeros(len(draws), 1, 1), 100.0, 0
    while (n := grid.shape[1]) < size:
        centres, uppers, lefts = draws[:, used : used + 3 * n * n].reshape(-1, 3, n, n).mul(wobble * wobble).unbind(1)
        used, wobble = used + 3 * n * n, wobble / decay
        across = grid + grid.roll(-1, 2)
        down = grid + grid.roll(-1, 1)
        centre = (down + down.roll(-1, 2)).mul_(0.25).add_(centres)
        finer = grid.new_empty(len(grid), n, 2, n, 2)
        finer[:, :, 0, :, 0] = grid
        finer[:, :, 1, :, 1] = centre
        finer[:, :, 0, :, 1] = across.add_(centre).add_(centre.roll(1, 1)).mul_(0.25).add_(uppers)
        finer[:, :, 1, :, 0] = down.add_(centre).add_(centre.roll(1, 2)).mul_(0.25).add_(lefts)
        grid = finer.view(len(grid), 2 * n, 2 * n)
    low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
    return grid.sub_(low).div_(high - low)


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
