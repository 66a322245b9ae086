"""The reference for common corruptions (`imagecorruptions-imaug`), pictures to try it on, and comparisons."""

from __future__ import annotations

import numpy as np
import torch
from imagecorruptions import corruptions
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import zoom
from torch import Tensor

from unshaken.core import Batch
from unshaken.stress.engine.base import Corruption, to_8_bit

SEVERITIES = (1, 2, 3, 4, 5)


def photo(height: int = 224, width: int = 224, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture `[H, W, 3]` with structure from the size of the image down to a few pixels."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells in (3, 7, 15, 40):
        coarse = rng.normal(size=(cells, cells, 3)) / cells**0.6
        picture += zoom(coarse, (height / cells, width / cells, 1), order=1, grid_mode=True, mode="nearest")
    low, high = np.quantile(picture, (0.02, 0.98))
    return (np.clip((picture - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def to_images(pixels: NDArray[np.uint8]) -> Tensor:
    """8-bit `[H, W, C]` to float32 `[1, C, H, W]` in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def to_rows(image: Tensor) -> NDArray[np.float64]:
    """`[1, C, H, W]` or `[C, H, W]` to float64 `[H, W, C]`, the layout in which the reference draws and computes."""
    return image.reshape(image.shape[-3:]).permute(1, 2, 0).double().numpy()


def reference(name: str, pixels: NDArray[np.uint8], severity: int) -> NDArray[np.float64]:
    """The reference's result `[H, W, 3]` in levels 0 to 255, before it is cut to 8 bits."""
    return np.asarray(getattr(corruptions, name)(Image.fromarray(pixels), severity), np.float64)


def compare(ours: Tensor, theirs: NDArray[np.float64]) -> dict[str, float]:
    """How far a result before clipping `[1, C, H, W]` is from the reference's.

    Returns:
        `gap`: largest difference in levels before the cut to 8 bits; `share`: share of 8-bit values that differ after
        it; `step`: largest difference of those; `edge`: how far from a whole level the reference lies at worst where
        they differ.
    """
    clipped = ours.clamp(0, 1)
    cut = np.rint(to_rows(to_8_bit(clipped)) * 255)
    apart = np.abs(cut - np.floor(theirs))
    edge = np.abs(theirs - np.rint(theirs))[apart > 0]
    return {
        "gap": float(np.abs(to_rows(clipped) * 255 - theirs).max()),
        "share": float((apart > 0).mean()),
        "step": float(apart.max()),
        "edge": float(edge.max()) if edge.size else 0.0,
    }


def agrees(ours: Tensor, theirs: NDArray[np.float64], gap: float = 5e-4) -> bool:
    """Whether a result is the reference's up to float32 rounding.

    It is within `gap` levels everywhere before the cut to 8 bits, and after it differs by one level at most, and only
    where the reference lies within `gap` of a whole level, so that rounding decides.
    """
    found = compare(ours, theirs)
    return found["gap"] <= gap and found["step"] <= 1 and found["edge"] <= gap


def depends_on_batch(
    method: Corruption, severity: int, height: int = 37, width: int = 41, channels: int = 3
) -> list[str]:
    """The ways of cutting and ordering a batch of 8-bit pictures that change a bit of any sample; none is right."""
    pixels = np.stack([photo(height, width, seed)[..., :channels] for seed in range(9)])
    whole = Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, None, tuple("abcdefghi"))
    before = whole.images.clone()
    expected = method.apply(whole, severity).images
    order = torch.tensor([4, 0, 8, 2, 6, 1, 7, 3, 5])
    ways = {
        "one by one": torch.cat([method.apply(whole[i : i + 1], severity).images for i in range(9)]),
        "sevens": torch.cat([method.apply(whole[i : i + 7], severity).images for i in (0, 7)]),
        "shuffled": method.apply(whole[order], severity).images[order.argsort()],
    }
    changed = [way for way, images in ways.items() if not torch.equal(images, expected)]
    return changed if torch.equal(whole.images, before) else [*changed, "the input was written to"]


def feed(monkeypatch, draws):
    """Make the reference's uniform draws those given, in order; returns how many are left."""
    left = draws.double().flatten().tolist()

    def uniform(low, high, shape):
        count = int(np.prod(shape))
        taken, left[:count] = left[:count], []
        return np.array(taken).reshape(shape) * high

    monkeypatch.setattr(np.random, "uniform", uniform)
    return left


def pixel_by_pixel(image, place):
    """Read a picture `[H, W, C]` at `place(row, column)` for each of its pixels, one after the other, black outside."""
    height, width, channels = image.shape
    framed = np.zeros((3 * height, 3 * width, channels))
    framed[height : 2 * height, width : 2 * width] = image
    result = np.zeros(image.shape)
    for y, x in np.ndindex(height, width):
        row, column = place(y, x)
        top, left = int(np.floor(row)), int(np.floor(column))
        a, b = row - top, column - left
        for down, right, weight in ((0, 0, (1 - a) * (1 - b)), (0, 1, (1 - a) * b), (1, 0, a * (1 - b)), (1, 1, a * b)):
            result[y, x] += weight * framed[height + top + down, width + left + right]
    return result


def double(height=12, width=17, channels=3, seed=0):
    """A random image, float64 `[C, H, W]` in [0, 1]."""
    return torch.from_numpy(np.random.default_rng(seed).random((channels, height, width)))
