"""Images that share traits with generated ones, made from photos or by code, and drawings that no camera took."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from scipy.fft import dctn, idctn
from torch import Tensor

from unshaken.core.rng import SampleRng

BLOCK = 8
SHAPES = 12
"""Rectangles and ellipses of a drawing."""


def levels(images: Tensor) -> Tensor:
    """Pictures as an 8-bit file holds them: clipped, rounded to 256 levels."""
    return (images.clamp(0, 1) * 255).round() / 255


def halved(images: Tensor, mode: Literal["bicubic", "nearest"]) -> Tensor:
    """Half the size by averages of 2 x 2 pixels, and back: the last step of many decoders.

    Args:
        images: `[N, C, H, W]` in [0, 1], H and W even.
        mode: of the way back.
    """
    small = F.avg_pool2d(images, 2)
    return levels(F.interpolate(small, scale_factor=2, mode=mode))


def low_rank(images: Tensor, keep: int) -> Tensor:
    """Each block of 8 x 8 pixels from its `keep x keep` lowest cosines, as a decoder with a small code would.

    Args:
        images: `[N, C, H, W]` in [0, 1], H and W multiples of 8.
        keep: 1 for the blocks' means, 8 for the pictures themselves.
    """
    n, c, h, w = images.shape
    blocks = images.view(n, c, h // BLOCK, BLOCK, w // BLOCK, BLOCK).numpy()
    waves = dctn(blocks, axes=(3, 5), norm="ortho")
    waves[:, :, :, keep:] = 0
    waves[..., keep:] = 0
    back = torch.from_numpy(np.ascontiguousarray(idctn(waves, axes=(3, 5), norm="ortho")))
    return levels(back.view(n, c, h, w).float())


def spectrum(images: Tensor, rng: SampleRng) -> Tensor:
    """Noise of amplitude 1/f with the mean and the deviation of each channel of a photo, so that contrast is no clue.

    Args:
        images: the photos, `[N, C, H, W]`.
        rng: of these.
    """
    h, w = images.shape[2:]
    white = torch.fft.fft2(rng.fold("spectrum").normal(1, h, w))
    f = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.fftfreq(w)[None])
    f[0, 0] = torch.inf
    pink = torch.fft.ifft2(white / f).real
    pink = pink / pink.std((2, 3), keepdim=True)
    mean, std = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)
    return levels(mean + std * pink)


def drawings(n: int, side: int, rng: SampleRng) -> Tensor:
    """Flat graphics: rectangles, ellipses and lines of one colour each, with some text, as on a screen.

    Args:
        n: how many; `rng` is of as many samples.
        side: height and width in pixels.
        rng: of these.

    Returns:
        `[n, 3, side, side]` in [0, 1].
    """
    pictures = []
    for draw in rng.fold("drawing").generators():
        picture = Image.new("RGB", (side, side), _colour(draw))
        pen = ImageDraw.Draw(picture)
        for _ in range(SHAPES):
            x, y = np.sort(draw.integers(0, side, (2, 2)), axis=1)
            box, colour = (int(x[0]), int(y[0]), int(x[1]), int(y[1])), _colour(draw)
            (pen.rectangle, pen.ellipse, pen.line)[int(draw.integers(3))](box, fill=colour)
        for line in range(3):
            words = "".join(chr(97 + int(k)) if k < 26 else " " for k in draw.integers(0, 30, 24))
            pen.text((side // 16, side * (line + 1) // 5), words, fill=_colour(draw))
        pictures.append(torch.from_numpy(np.array(picture)))
    return torch.stack(pictures).permute(0, 3, 1, 2).float() / 255


def _colour(draw: np.random.Generator) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in draw.integers(0, 256, 3))
    return r, g, b
