"""Filters in closed form: grey and HSV values and frequency bands of batches; edges of one map as in OpenCV."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.measure.robustness.frequency import frequency_radius


def value(images: Tensor) -> Tensor:
    """The value V of HSV: `max(R, G, B)`, `[N, 1, H, W]` from `[N, 3, H, W]`."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return torch.maximum(torch.maximum(red, green), blue)


def least(images: Tensor) -> Tensor:
    """`min(R, G, B)`, `[N, 1, H, W]` from `[N, 3, H, W]`; the saturation is `(V - min) / V`."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return torch.minimum(torch.minimum(red, green), blue)


def luma(images: Tensor) -> Tensor:
    """Grey of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`: `[N, 1, H, W]`; one channel stays as it is."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)


Bytes = NDArray[np.uint8]

_ONE, _DIAGONAL, _KNIGHT = 65536, 91750, 143976  # 1, 1.4 and 2.1969 in 16 binary digits
_MOVES = (
    *((move, _ONE) for move in ((0, 1), (1, 0))),
    *((move, _DIAGONAL) for move in ((1, 1), (1, -1))),
    *((move, _KNIGHT) for move in ((1, 2), (1, -2), (2, 1), (2, -1))),
)


def canny(picture: Bytes, low: int, high: int) -> NDArray[np.bool_]:
    """Canny's edges (1986) with 3 x 3 Sobel gradients and their 1-norm.

    Args:
        picture: `[H, W]`.
        low: gradients above it continue an edge.
        high: gradients above it start one.

    Returns:
        `[H, W]`.
    """
    framed = _framed(picture, "edge")
    down, across = framed[:-2] + framed[2:], framed[:, :-2] + framed[:, 2:]
    down += 2 * framed[1:-1]
    across += 2 * framed[:, 1:-1]
    dx, dy = down[:, 2:] - down[:, :-2], across[2:] - across[:-2]
    rising = (dx < 0) == (dy < 0)
    dx, dy = np.abs(dx), np.abs(dy)
    size = dx + dy
    around = _framed(size, "zero")
    height, width = picture.shape

    def at(down: int, right: int) -> NDArray[Any]:
        return around[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    run, rise = dx.astype(np.float32), dy.astype(np.float32)
    tangent = run * np.float32(0.41421356)  # of 22.5 degrees
    flat, steep = rise < tangent, rise > tangent + 2 * run
    slanted = ~(flat | steep)
    peak = flat & (size > at(0, -1)) & (size >= at(0, 1))
    peak |= steep & (size > at(-1, 0)) & (size >= at(1, 0))
    peak |= slanted & rising & (size > at(-1, -1)) & (size > at(1, 1))
    peak |= slanted & ~rising & (size > at(-1, 1)) & (size > at(1, -1))
    peak &= size > low
    regions, count = scipy.ndimage.label(peak, np.ones((3, 3)))  # of 8 neighbours; those that hold a strong place stay
    strong = np.zeros(count + 1, bool)
    strong[regions[peak & (size > high)]] = True
    edges: NDArray[np.bool_] = np.take(strong, regions)
    return edges


def chamfer(edges: NDArray[np.bool_], limit: int) -> NDArray[np.float32]:
    """Distance to the nearest edge in Borgefors' 5 x 5 chamfer metric (1986), moves of 1, 1.4 and 2.1969.

    A shortest way is some moves of one kind and then some of another, so each kind is looked at once, on its own: the
    least of all places along its line, found by doubling the stretch.

    Args:
        edges: `[H, W]`.
        limit: larger distances are cut to it.

    Returns:
        `[H, W]`, pixels.
    """
    height, width = edges.shape
    stride = width + limit  # one margin serves the right of a row and the left of the next: to cross it costs the limit
    framed = np.full((height + 2 * limit, stride), limit * _ONE, np.int32)
    framed[limit : limit + height, :width][edges] = 0
    flat, first, last = framed.reshape(-1), limit * stride, (limit + height) * stride
    best = flat[first:last]
    near = np.empty_like(best)
    for (down, right), length in _MOVES:
        for step in _stretches((limit * _ONE - 1) // length):
            shift = step * (down * stride + right)
            np.minimum(flat[first + shift : last + shift], flat[first - shift : last - shift], out=near)
            near += step * length
            np.minimum(best, near, out=best)
    distances: NDArray[np.float32] = best.reshape(height, stride)[:, :width].astype(np.float32)
    distances /= _ONE
    return distances


def _stretches(reach: int) -> list[int]:
    """Steps whose partial sums are every number up to `reach`: each about as long as all before it."""
    steps: list[int] = []
    while reach:
        steps.append(min(sum(steps) + 1, reach))
        reach -= steps[-1]
    return steps


def mean3(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Mean over 3 x 3 pixels, mirrored at the border pixels: `[H, W]`."""
    framed = _framed(picture, "reflect")
    rows = framed[:-2] + framed[1:-1] + framed[2:]
    total: NDArray[np.float32] = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)
    return total


def relief(picture: Bytes) -> Bytes:
    """Emboss by `[[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]`, mirrored at the border pixels, clipped: `[H, W]`."""
    framed = _framed(picture, "reflect")
    above, level, below = framed[:-2], framed[1:-1], framed[2:]
    total = 2 * (below[:, 2:] - above[:, :-2])
    total += level[:, 1:-1]
    total += level[:, 2:]
    total -= level[:, :-2]
    total += below[:, 1:-1]
    total -= above[:, 1:-1]
    raised: Bytes = np.clip(total, 0, 255, out=total).astype(np.uint8)
    return raised


def equalize(picture: Bytes) -> Bytes:
    """Spread the levels so that their histogram is flat: `round(255 (F(v) - F(v_0)) / (1 - F(v_0)))`.

    Args:
        picture: `[H, W]`.

    Returns:
        The same shape; a picture of one level stays as it is.
    """
    histogram = np.bincount(picture.reshape(-1), minlength=256)
    first = histogram[np.flatnonzero(histogram)[0]]
    total = picture.size - first
    if total == 0:
        return picture
    table = (np.cumsum(histogram) - first).clip(min=0).astype(np.float32) * (np.float32(255) / np.float32(total))
    return np.take(np.rint(table).astype(np.uint8), picture)


def _framed(picture: NDArray[Any], border: Literal["edge", "reflect", "zero"]) -> NDArray[Any]:
    """A picture `[H, W]` with a frame one pixel wide; 8-bit ones become int16, so that sums have room."""
    height, width = picture.shape
    framed = np.empty((height + 2, width + 2), np.int16 if picture.dtype == np.uint8 else picture.dtype)
    framed[1:-1, 1:-1] = picture
    if border == "zero":
        framed[0] = framed[-1] = 0
        framed[:, 0] = framed[:, -1] = 0
        return framed
    inner = 2 if border == "reflect" else 1
    framed[0], framed[-1] = framed[inner], framed[-1 - inner]
    framed[:, 0], framed[:, -1] = framed[:, inner], framed[:, -1 - inner]
    return framed


def half_radius(height: int, width: int) -> Tensor:
    """The distance rho of the bins of `torch.fft.rfft2` from zero frequency, float64 `[H, W // 2 + 1]`."""
    return torch.tensor(frequency_radius(height, width)[:, : width // 2 + 1])


def band_pass(images: Tensor, low: float, high: float) -> Tensor:
    """The part of images in the band `low < rho <= high` of the 2-D DFT of each channel.

    Radii are in bins, as in `unshaken.measure.robustness.frequency`, and belong to one image size.

    Args:
        images: `[..., H, W]`.
        low: in bins; below 0 the mean is let through.
        high: in bins.
    """
    height, width = images.shape[-2:]
    radius = half_radius(height, width)
    inside = ((radius > low) & (radius <= high)).to(images)
    found: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * inside, s=(height, width))
    return found


def low_pass(images: Tensor, radius: float) -> Tensor:
    """The part of images at `rho <= radius`; see `band_pass`."""
    return band_pass(images, -1.0, radius)


def high_pass(images: Tensor, radius: float) -> Tensor:
    """The part of images at `rho > radius`, with the mean put back; see `band_pass`."""
    return images - low_pass(images, radius) + images.mean((-2, -1), keepdim=True)
