"""Glass blur."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.base import Corruption, Severities, to_8_bit


def glass_blur(images: Tensor, sigma: float, delta: int, uniform: Tensor) -> Tensor:
    """Blur, cut to 8 bits, shuffle pixels with near ones, blur again.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        sigma: standard deviation of both blurs in pixels.
        delta: pixels move by -delta to delta - 1 each way.
        uniform: draws in [0, 1) `[N, rounds, H - 2 delta, W - 2 delta]`: one a round and pixel inside the margins.

    Returns:
        The same shape, not clipped.
    """
    blurred = to_8_bit(gaussian_blur(images, sigma).clamp_(0, 1)).flatten(2)
    sources = shuffled_sources(uniform, delta)
    mixed = torch.stack([image.index_select(1, source) for image, source in zip(blurred, sources, strict=True)])
    return gaussian_blur(mixed.view_as(images), sigma)


def shuffled_sources(uniform: Tensor, delta: int) -> Tensor:
    """Which pixel of the image each pixel shows after all rounds of the shuffle.

    In the authors' loop the pixels at delta + 1 to the side less delta are visited from the last to the first, and
    each takes over the current value of the pixel at an offset drawn from -delta to delta - 1 both ways (written as
    a swap, it is a copy, for the rows are views). Where that one comes later in the picture it was visited already
    and shows its own source; such chains are followed by doubling.

    Args:
        uniform: draws in [0, 1) `[N, rounds, H - 2 delta, W - 2 delta]`.
        delta: largest step in pixels.

    Returns:
        Int32 `[N, H W]`, indices into the flattened picture.
    """
    height, width = (side + 2 * delta for side in uniform.shape[2:])
    places = torch.arange(height * width, dtype=torch.int32, device=uniform.device)
    number = torch.mul(uniform, 4 * delta * delta).floor_().clamp_(max=4 * delta * delta - 1)
    down = torch.div(number, 2 * delta).floor_()
    steps = number.add_(down, alpha=width - 2 * delta).sub_(delta * (width + 1)).int()
    inside = slice(delta + 1, height - delta + 1), slice(delta + 1, width - delta + 1)
    sources = []
    for sample in steps:
        source = places
        for step in sample:
            target = places.view(height, width).clone()
            target[inside] += step
            target = target.flatten()
            last = torch.maximum(target, places)
            while not torch.equal(last, farther := last.index_select(0, last)):
                last = farther  # to the first target that is not later in the picture
            source = source.index_select(0, target.index_select(0, last))
        sources.append(source)
    return torch.stack(sources)


@register("glass_blur", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="blur")
class GlassBlur(Corruption):
    """Blur as by frosted glass: swaps neighbouring pixels."""

    strengths = Severities(
        imagenet=((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        cifar=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        tiny=((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[float, int, int], rng: SampleRng) -> Tensor:
        sigma, delta, rounds = c
        height, width = (max(0, side - 2 * delta) for side in images.shape[2:])
        return glass_blur(images, sigma, delta, rng.uniform(rounds, height, width))
