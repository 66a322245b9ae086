"""Robust inference by crop selection (RICS): classify a crop that the content alone decides, wherever it lies.

The publication's own score and crop sizes are not known here. The scores, the tie rule, the laws and the certificate
are this package's, derived from what its abstract claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, cast

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.certify.crops._choice import (
    Candidates,
    ScoreName,
    Selection,
    Size,
    candidates,
    central,
    cut,
    resize,
    score_named,
    to_levels,
    windows_agree,
    wrapped,
)
from unshaken.certify.engine.base import Certifier
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.stress.geometry.translation import window

__all__ = [
    "CropClassifier",
    "CropSelection",
    "Selection",
    "ball_rate",
    "four_neighbours_rate",
    "resize",
    "same_crop_rate",
    "windows_agree",
]


def same_crop_rate(candidates: int, shifts: Iterable[tuple[int, int]]) -> float:
    """The probability that a window and its shifted copies all select the same crop: `|A and B| / |A or B|`.

    The best of all candidates that any window sees is as likely to be any of them; all windows select it if all see it.

    Args:
        candidates: K, positions an axis in one window, at least 1.
        shifts: `(dy, dx)` in pixels; the window itself is always one of them.

    Raises:
        ParameterError: candidates is below 1.

    >>> round(same_crop_rate(9, [(0, 1), (0, -1), (1, 0), (-1, 0)]), 4)
    0.4188
    """
    k = _checked(candidates)
    moves = {(0, 0), *shifts}
    low_y, low_x = (min(m[axis] for m in moves) for axis in (0, 1))
    high_y, high_x = (max(m[axis] for m in moves) for axis in (0, 1))
    count = np.zeros((k + high_y - low_y, k + high_x - low_x), np.int64)
    for dy, dx in moves:
        count[dy - low_y : dy - low_y + k, dx - low_x : dx - low_x + k] += 1
    return float((count == len(moves)).sum() / (count > 0).sum())


def four_neighbours_rate(candidates: int) -> float:
    """The four shifts by one pixel along an axis, all at once: `(K - 2)^2 / (K^2 + 4 K)`."""
    k = _checked(candidates)
    return max(0, k - 2) ** 2 / (k * k + 4 * k)


def ball_rate(candidates: int, d: int) -> float:
    """All shifts of up to d pixels along each axis, at once: `((K - 2 d) / (K + 2 d))^2`.

    >>> round(ball_rate(33, 1), 4)
    0.7845
    """
    k = _checked(candidates)
    return (max(0, k - 2 * d) / (k + 2 * d)) ** 2


def _checked(candidates: int) -> int:
    if candidates < 1:
        raise ParameterError(f"a window has at least 1 candidate an axis, not {candidates}")
    return candidates


@register("crop-selection", reference="Shifman & Weiss 2024, arXiv:2404.07153", group="translation")
class CropSelection(Certifier):
    """Crop selection (RICS): certifies that shifts of the camera do not change the crop that is classified.

    A window of a photo that moves by a pixel sees nearly the same candidates, so nearly always the same best crop: then
    the network's input is the same to the bit. With K candidates an axis, one pixel changes the crop in `2 / (K + 1)`
    of cases (score `hash`; see `ball_rate` and its kin for other shifts). For cyclic shifts it never does. Noise,
    resampling and an adversary who changes pixels are not covered.

    As a certifier, an image is a photo with a margin: severity d cuts it to a window d pixels smaller on each side,
    classifies that, and certifies, without a network, that every shift of up to d pixels selects the same crop.
    """

    apart: ClassVar[str | None] = None  # its outcomes are of windows of the images

    score: ScoreName = Field(
        default="hash",
        description="score of a crop: hash, laplacian, random_filter; box_energy and box_mean are weak baselines",
    )
    ratio: float = Field(default=0.875, gt=0, le=1, description="side of the crop as a share of the image's")
    crop: PositiveInt | None = Field(default=None, description="side of the crop in pixels; overrides ratio")
    block: PositiveInt | None = Field(
        default=None, description="number of candidate positions per axis, around the centre; default all"
    )
    top: PositiveInt = Field(default=1, description="number of crops per image, whose logits are averaged")
    cyclic: bool = Field(
        default=False, description="include crops that wrap around: exactly invariant to cyclic shifts"
    )
    score_seed: int = Field(default=0, ge=0, description="random seed of the scores hash and random_filter")

    @model_validator(mode="after")
    def _whole_torus(self) -> CropSelection:
        if self.cyclic and self.block is not None:
            raise ValueError("cyclic selection takes every position; omit block")
        return self

    def crop_size(self, height: int, width: int) -> Size:
        """Height and width in pixels of the crops of images of that size.

        Raises:
            ParameterError: the crop does not fit.
        """
        if self.crop is None:
            return max(1, round(self.ratio * height)), max(1, round(self.ratio * width))
        if self.crop > min(height, width):
            raise ParameterError(
                f"crop-selection: crop={self.crop} does not fit into images of {height} x {width} pixels"
            )
        return self.crop, self.crop

    def candidates(self, images: Tensor, size: Size) -> Candidates:
        """All scored crops of one size of images `[N, C, H, W]` in [0, 1], read as 8-bit levels."""
        pixels = to_levels(wrapped(images, size) if self.cyclic else images)
        return candidates(pixels, size, score_named(self.score, self.score_seed))

    def select(self, images: Tensor) -> Selection:
        """The selected crops of images.

        Args:
            images: `[N, C, H, W]` in [0, 1] with 1 or 3 channels.

        Returns:
            Position, score and margin of `top` crops an image. Cyclic crops may reach over the border.

        Raises:
            ParameterError: the crop, or the block that the score reads, does not fit.
        """
        found = self.candidates(images, self.crop_size(*images.shape[2:]))
        return (found if self.block is None else central(found, self.block, self.block)).best(self.top)

    def crops(self, images: Tensor) -> Tensor:
        """The selected crops `[N, top, C, h, w]`; gradients pass to the pixels cut, not through the choice."""
        size = self.crop_size(*images.shape[2:])
        selection = self.select(images)
        return cut(wrapped(images, size) if self.cyclic else images, selection, size)

    def wrap(self, model: Classifier) -> Classifier:
        """The defended model: a classifier that takes images of any size and can be attacked as any other.

        Where the model's preprocessing cuts a centre out of a larger photo, the defended one looks at all of it.
        """
        return CropClassifier(model, self)

    def certify(self, photos: Tensor, d: int) -> Tensor:
        """Whether every shift of up to d pixels along each axis selects the same crop. No network is asked.

        Args:
            photos: `[N, C, H, W]` in [0, 1]; a window has d pixels less on each side.
            d: pixels, at least 0.

        Returns:
            Bool `[N]`: exact; where it is false, at least two of the `(2 d + 1)^2` windows select different crops.

        Raises:
            ParameterError: no window is left, the crop does not fit, or the selection is cyclic or of several crops.
        """
        height, width = _window_of(photos, d)
        return self._certify(photos, d, self.crop_size(height, width))

    def _certify(self, photos: Tensor, d: int, size: Size) -> Tensor:
        if self.cyclic or self.top > 1:
            raise ParameterError("crop-selection: the certificate needs one crop and no torus: top=1, cyclic=false")
        found = self.candidates(photos, size)
        rows, columns = (n - 2 * d for n in found.scores.shape[1:])
        if min(rows, columns) < 1:
            raise ParameterError(f"crop-selection: crops of {size} pixels do not fit into windows for d={d}")
        a, b = min(self.block or rows, rows), min(self.block or columns, columns)
        return windows_agree(central(found, a + 2 * d, b + 2 * d), a, b)

    def inputs(self, photos: Tensor, d: int, size: tuple[int, int] | None) -> Tensor:
        """The selected crops of the unshifted windows that d leaves, resized to its input size."""
        return resize(self.crops(window(photos, 0, 0, *_window_of(photos, d))).flatten(0, 1), size)

    def windows(self, photos: Tensor, d: int) -> Callable[[Tensor], Tensor]:
        """Gives the unshifted windows of some photos, by their indices."""
        return lambda chosen: window(photos[chosen], 0, 0, *_window_of(photos, d))

    def certified_radii(self, photos: Tensor, d: int) -> Tensor:
        """The largest certified shift of the window that d leaves, in pixels `[N]`; 0 for none."""
        height, width = _window_of(photos, d)
        size = self.crop_size(height, width)
        radius = torch.zeros(len(photos), dtype=torch.int64, device=photos.device)
        for shift in range(1, d + 1):
            photo = window(photos, 0, 0, height + 2 * shift, width + 2 * shift)
            radius += self._certify(photo, shift, size)
        return radius


class CropClassifier(Classifier):
    """A classifier of the selected crop of each image.

    Args:
        model: what classifies the crop, resized to its input size where it has one.
        selection: how the crop is selected.
    """

    def __init__(self, model: Classifier, selection: CropSelection) -> None:
        super().__init__(
            model,
            classes=model.classes,
            view=_whole(model.view),
            differentiable=model.differentiable,
            name=f"{model.name}+crop-selection",
        )
        self.selection = selection
        text = selection.model_dump_json().encode()
        self.register_buffer("settings", torch.tensor(list(text), dtype=torch.uint8))  # part of the fingerprint

    @property
    def model(self) -> Classifier:
        """The network that classifies the crop."""
        return cast(Classifier, self.net)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(self._inputs(images))
        return _averaged(logits, len(images))

    @override
    def features(self, images: Tensor, layers: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        logits, found = self.model.features(self._inputs(images), layers)
        return _averaged(logits, len(images)), {k: _averaged(v, len(images)) for k, v in found.items()}

    def _inputs(self, images: Tensor) -> Tensor:
        return resize(self.selection.crops(images).flatten(0, 1), self.model.input_size)


def _averaged(values: Tensor, n: int) -> Tensor:
    """`[N k, ...]` to `[N, ...]`."""
    return values.reshape(n, -1, *values.shape[1:]).mean(1)


def _whole(view: View | None) -> View | None:
    """The view without its cut of the centre: the whole short side of the photo at the model's own scale."""
    if view is None:
        return None
    side = max(view.resize or 0, view.height, view.width)
    return replace(view, height=side, width=side, resize=side)


def _window_of(photos: Tensor, d: int) -> Size:
    height, width = photos.shape[2] - 2 * d, photos.shape[3] - 2 * d
    if d < 0 or min(height, width) < 1:
        raise ParameterError(f"crop-selection: a shift of {d} pixels leaves no window of {tuple(photos.shape[2:])}")
    return height, width
