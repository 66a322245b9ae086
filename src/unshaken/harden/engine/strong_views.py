"""Strong augmentation of whole batches, each sample by its own stream: what contrastive learning shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.rng import SampleRng
from unshaken.stress.engine.filters import luma


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """Probabilities and strengths by which a view is made.

    Args:
        area: least share of the image that the crop keeps.
        jitter: probability of a change of brightness, contrast, saturation and hue.
        strengths: of the four.
        grey: probability of losing all colour.
        blur: probability of a blur.
        solarise: probability that pixels above the middle are turned over.
        most: largest share of the image that the crop keeps.
    """

    area: float
    jitter: float
    strengths: tuple[float, float, float, float]
    grey: float
    blur: float
    solarise: float
    most: float = 1.0


PHOTOS = (
    ViewSettings(0.08, 0.8, (0.4, 0.4, 0.2, 0.1), 0.2, 1.0, 0.0),
    ViewSettings(0.08, 0.8, (0.4, 0.4, 0.2, 0.1), 0.2, 0.1, 0.2),
)
"""The pair of MoCo v3."""
SMALL = (ViewSettings(0.3, 0.8, (0.4, 0.4, 0.2, 0.1), 0.2, 0.0, 0.0),) * 2
"""For images of about 32 pixels: larger crops, no blur."""


def strong_view(
    images: Tensor, settings: ViewSettings, rng: SampleRng, mirror: float = 0.5, size: tuple[int, int] | None = None
) -> Tensor:
    """Random resized crop with a mirror image for some, then colours, blur and solarisation.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        settings: probabilities and strengths.
        rng: one stream a sample.
        mirror: probability of the mirror image.
        size: height and width of the view in pixels; None for those of the images.

    Returns:
        `[N, C, h, w]`, in [0, 1].
    """
    draws = rng.fold("view").fresh(14).to(images.device)
    area, ratio, left, top, turn, chance, grey, blur, width, solar, *colours = draws.unbind(1)
    share = settings.area + (settings.most - settings.area) * area
    found = cropped(images, share, ratio, left, top, turn < mirror, size)
    if settings.jitter:
        changed = jittered(found, colours, settings.strengths)
        found = torch.where(_wide(chance < settings.jitter), changed, found)
    if images.shape[1] == 3 and settings.grey:
        found = torch.where(_wide(grey < settings.grey), luma(found), found)
    if settings.blur:
        found = torch.where(_wide(blur < settings.blur), blurred(found, 0.1 + 1.9 * width), found)
    if settings.solarise:
        found = torch.where(_wide(solar < settings.solarise) & (found >= 0.5), 1 - found, found)
    return found


def cropped(
    images: Tensor, area: Tensor, ratio: Tensor, left: Tensor, top: Tensor, mirrored: Tensor,
    size: tuple[int, int] | None = None,
) -> Tensor:  # fmt: skip
    """A rectangle of the image brought to the image's size, or to another, bilinearly.

    Args:
        images: `[N, C, H, W]`.
        area: its share of the image `[N]`, in (0, 1].
        ratio: uniform `[N]` in [0, 1): its width over its height, from 3/4 to 4/3 on a logarithmic scale.
        left: uniform `[N]` in [0, 1): where it lies, of the places that it has.
        top: as `left`.
        mirrored: bool `[N]`: turned left to right.
        size: height and width in pixels; None for those of the images.
    """
    bend = torch.exp((2 * ratio - 1) * math.log(4 / 3)).sqrt()
    wide, high = ((area.sqrt() * b).clamp(max=1.0) for b in (bend, 1 / bend))
    sign = torch.where(mirrored, -1.0, 1.0)
    zero = torch.zeros_like(wide)
    across = torch.stack([wide * sign, zero, (2 * left - 1) * (1 - wide)], 1)
    down = torch.stack([zero, high, (2 * top - 1) * (1 - high)], 1)
    shape = [*images.shape[:2], *(images.shape[2:] if size is None else size)]
    grid = F.affine_grid(torch.stack([across, down], 1).to(images), shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def jittered(images: Tensor, draws: Sequence[Tensor], strengths: tuple[float, float, float, float]) -> Tensor:
    """Brightness, contrast, saturation and hue, each by a factor about 1 (the hue by an angle).

    Args:
        images: `[N, C, H, W]` in [0, 1]; grey images have no saturation and no hue.
        draws: uniform `[N]` in [0, 1), one for each of the four.
        strengths: a factor lies within 1 - s and 1 + s, the angle within s turns.

    Returns:
        The same shape, in [0, 1].
    """
    one, two, three = (_wide(1 + s * (2 * u - 1)) for s, u in zip(strengths[:3], draws[:3], strict=True))
    found = (images * one).clamp(0, 1)
    mean = luma(found).mean((1, 2, 3), keepdim=True)
    found = ((found - mean) * two + mean).clamp(0, 1)
    if images.shape[1] != 3:
        return found
    grey = luma(found)
    return turned(((found - grey) * three + grey).clamp(0, 1), strengths[3] * (2 * draws[3] - 1))


def turned(images: Tensor, angle: Tensor) -> Tensor:
    """Colours turned about the grey axis: the brightness stays, as near as [0, 1] allows.

    Args:
        images: `[N, 3, H, W]` in [0, 1].
        angle: in turns, `[N]`.
    """
    grey = luma(images)
    blue, red = (images[:, 2:3] - grey) / 1.772, (images[:, 0:1] - grey) / 1.402
    cos, sin = (_wide(f(2 * math.pi * angle)) for f in (torch.cos, torch.sin))
    blue, red = blue * cos - red * sin, blue * sin + red * cos
    r, b = grey + 1.402 * red, grey + 1.772 * blue
    g = (grey - 0.299 * r - 0.114 * b) / 0.587
    return torch.cat([r, g, b], 1).clamp(0, 1)


def blurred(images: Tensor, width: Tensor) -> Tensor:
    """Gaussian blur, each image by its own deviation in 224ths of its side.

    Args:
        images: `[N, C, H, W]`.
        width: deviations `[N]` for an image of 224 pixels.
    """
    n, channels, high, side = images.shape
    deviation = (width * side / 224).clamp(min=1e-3)
    reach = max(1, math.ceil(3 * float(deviation.max())))
    reach = min(reach, high - 1, side - 1)
    places = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-places.square() / (2 * deviation[:, None].square()))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(images, (reach, reach, reach, reach), mode="reflect").view(1, n * channels, high + 2 * reach, -1)
    down = F.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    return F.conv2d(down, kernel[:, None, None, :], groups=n * channels).view(images.shape)


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
