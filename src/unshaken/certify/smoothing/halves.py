"""Two sub-images that share the pixels of an image, and the way back to the size that a network wants."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.rng import SampleRng

Split = Literal["checkerboard", "columns", "top-bottom", "random"]
Expansion = Literal["repeat", "fill", "mask"]
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


class Halves:
    """Which pixels belong to which side, and where each pixel of a network's input is taken from.

    A sub-image is the row of a side's pixels, `[N, C, m]`, in reading order; the channels of a pixel stay together.
    All that a network sees of it is a fixed rearrangement, so noise on a sub-image is noise in m dimensions a channel.

    Args:
        split: `checkerboard` (left: row + column even), `columns` (every other column), `top-bottom`, or `random` (half
            of the pixels, drawn by `seed`).
        expansion: `repeat` (the side's pixels of each row, stretched to the width; rows without any are left out and
            the others stretched to the height), `fill` (each pixel stays where it was; a hole takes the nearest pixel
            of its row, of two the left one, a row without any that of the nearest row), or `mask` (holes are 0).
        height: of the image in pixels.
        width: of the image in pixels.
        seed: of the `random` split.

    Raises:
        ParameterError: no such split or expansion, or a side would have no pixel.
    """

    def __init__(self, split: Split, expansion: Expansion, height: int, width: int, seed: int = 0) -> None:
        for what, value, known in (("split", split, get_args(Split)), ("expansion", expansion, get_args(Expansion))):
            if value not in known:
                raise ParameterError(f"no {what} {value!r}: {did_you_mean(value, known)}")
        left = on_the_left(split, height, width, seed)
        if left.all() or not left.any():
            raise ParameterError(
                f"split={split} leaves one side of an image of {height} x {width} pixels empty: choose another split, "
                "such as checkerboard, and images of two pixels or more"
            )
        self.shape = height, width
        self._kept, self._source = {}, {}
        for side, mask in zip(SIDES, (left, ~left), strict=True):
            source = _EXPANSIONS[expansion](mask)
            self._kept[side] = torch.from_numpy(mask.ravel().nonzero()[0])
            self._source[side] = torch.from_numpy(source.ravel())

    def pixels(self, side: Side) -> Tensor:
        """The places of a side's pixels in the image read row by row, int64 `[m]`, rising."""
        return self._kept[side]

    def take(self, images: Tensor, side: Side) -> Tensor:
        """A side's sub-images.

        Args:
            images: `[N, C, H, W]`.
            side: which.

        Returns:
            `[N, C, m]`.

        Raises:
            ParameterError: the images have another size.
        """
        if tuple(images.shape[2:]) != self.shape:
            raise ParameterError(f"images of {tuple(images.shape[2:])} pixels for halves of {self.shape}")
        return images.flatten(2).index_select(2, self._kept[side].to(images.device))

    def expand(self, parts: Tensor, side: Side) -> Tensor:
        """Sub-images `[N, C, m]` as a network's input `[N, C, H, W]`."""
        return expanded(parts, self._source[side].to(parts.device), self.shape)

    def wrap(self, model: Classifier, side: Side) -> OnHalf:
        """The model as a classifier of a side's sub-images `[N, C, m]`."""
        return OnHalf(model, self._source[side], self.shape, side)


@lru_cache(64)
def halves(split: Split, expansion: Expansion, height: int, width: int, seed: int = 0) -> Halves:
    """`Halves`, made once for each size."""
    return Halves(split, expansion, height, width, seed)


class OnHalf(Classifier):
    """A model behind an expansion: from sub-images `[N, C, m]` to logits.

    Args:
        model: from images to logits; shared, not copied.
        source: which pixel of the sub-image each pixel of the model's input is, int64 `[H * W]`, -1 for 0.
        shape: height and width.
        side: for its name.
    """

    source: Tensor

    def __init__(self, model: Classifier, source: Tensor, shape: tuple[int, int], side: Side) -> None:
        super().__init__(
            model,
            classes=model.classes,
            differentiable=model.differentiable,
            name=f"{model.name} on the {side} half",
            reject=model.reject,
        )
        self.training = model.training
        device = device_of(model)
        self.register_buffer("source", source.to(device), persistent=False)
        self.shape = shape

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(expanded(images, self.source, self.shape))
        return logits


def expanded(parts: Tensor, source: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sub-images laid out over an image.

    Args:
        parts: `[N, C, m]`.
        source: which of the m each pixel is, int64 `[H * W]`, -1 for 0.
        shape: height and width.

    Returns:
        `[N, C, H, W]`.
    """
    found = parts.index_select(2, source.clamp_min(0)) * (source >= 0)
    return found.view(*parts.shape[:2], *shape)


def on_the_left(split: Split, height: int, width: int, seed: int) -> NDArray[np.bool_]:
    """Which pixels are the left side's, `[H, W]`."""
    row, column = np.indices((height, width))
    if split == "checkerboard":
        return np.asarray((row + column) % 2 == 0)
    if split == "columns":
        return np.asarray(column % 2 == 0)
    if split == "top-bottom":
        return np.asarray(row < (height + 1) // 2)
    drawn = SampleRng.of(seed, "halves", [f"{height}x{width}"]).generators()[0].permutation(height * width)
    return np.asarray(drawn.reshape(height, width) % 2 == 0)


def _number(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place of each kept pixel among them."""
    return np.asarray(mask.ravel().cumsum().reshape(mask.shape) - 1, np.int64)


def _repeat(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows with pixels stretched over the height, the pixels of each over the width."""
    (height, width), number = mask.shape, _number(mask)
    rows = [number[i][mask[i]] for i in range(height) if mask[i].any()]
    stretched = [r[np.arange(width) * len(r) // width] for r in rows]
    return np.stack([stretched[i * len(rows) // height] for i in range(height)])


def _fill(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The nearest kept pixel: of the own row, else of the nearest row with one."""
    (height, width), number = mask.shape, _number(mask)
    there = np.flatnonzero(mask.any(1))
    found = np.empty(mask.shape, np.int64)
    for i in range(height):
        row = there[np.abs(there - i).argmin()]
        kept = mask[row].nonzero()[0]
        nearest = kept[np.abs(kept[:, None] - np.arange(width)).argmin(0)]
        found[i] = number[row, nearest]
    return found


def _mask(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nothing in the holes."""
    return np.where(mask, _number(mask), -1)


_EXPANSIONS = {"repeat": _repeat, "fill": _fill, "mask": _mask}
