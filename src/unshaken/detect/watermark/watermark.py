"""Watermarks: marking images, scoring how marked one looks, and two classic ways: spread spectrum, and DCT."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Protocol

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from scipy import fft
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue, ITU-R BT.601."""
BLOCK = 4
"""Side of a DCT block in the low band; 8 pixels of the image."""
CARRIERS = ((0, 1), (1, 0))
"""Coefficients of a block that carry bits: the slowest wave along each axis."""


class Watermarker(Protocol):
    """Marks images with one key, and scores images; images are float `[N, C, H, W]` in [0, 1]."""

    def encode(self, images: Tensor) -> Tensor:
        """The images with the mark, in [0, 1]."""

    def bits(self, images: Tensor) -> Tensor:
        """The bits that are read off, bool `[N, B]`; images may have left [0, 1], as under noise."""

    def score(self, images: Tensor) -> Tensor:
        """How marked each image looks, float64 `[N]`, higher for marked ones; NaN where it cannot be decoded."""


class SpreadSpectrum:
    """A fixed pattern of +-a added to every image; one bit, read off as the sign of a correlation.

    Args:
        image: channels, height and width.
        amplitude: a, in [0, 1] pixel units, such as 2/255.
        seed: of the pattern, which is the key.

    Raises:
        ParameterError: the amplitude is not in (0, 1].

    Source:
        Cox et al. 1997, doi:10.1109/83.650120, with a pattern in the pixels.
    """

    def __init__(self, image: tuple[int, int, int], amplitude: float, *, seed: int = 0) -> None:
        if not 0 < amplitude <= 1:
            raise ParameterError(f"amplitude={amplitude!r} must be in (0, 1], in units of [0, 1] pixels")
        self.amplitude = amplitude
        draws = SampleRng.of(seed, "spread-spectrum", ("pattern",)).uniform(*image)[0]
        self.pattern = torch.where(draws < 0.5, -1.0, 1.0)
        """float32 `[C, H, W]` of +-1."""

    def encode(self, images: Tensor) -> Tensor:
        """`clip(x + a p)`."""
        return (images + self.amplitude * self.pattern.to(images)).clamp(0, 1)

    def bits(self, images: Tensor) -> Tensor:
        """`[N, 1]`: whether the correlation is positive."""
        return self.score(images)[:, None] > 0

    def score(self, images: Tensor) -> Tensor:
        """Mean of `(x - m) p`, m the mean of the 3 x 3 pixels around each, which takes most of the image away."""
        rest = images - F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        return (rest * self.pattern.to(images)).double().mean((1, 2, 3))


class DCTWatermark:
    """Bits in how low DCT coefficients of the luma's Haar low band are rounded; the score is the share of right bits.

    A coefficient c of a block of 8 x 8 pixels that carries bit b becomes the nearest `D (k + b/2)`, k whole. Each bit
    stands in every B-th carrier, and the carriers vote. Pixels beyond the last whole block stay as they are.

    Args:
        key: the bits, bool `[B]`.
        step: D, in [0, 1] pixel units of an orthonormal coefficient; a change of more than D/4 turns a carrier.

    Raises:
        ParameterError: there is no bit, or the step is not above 0.

    Source:
        Quantisation index modulation: Chen & Wornell 2001, doi:10.1109/18.923725.
    """

    def __init__(self, key: Tensor, *, step: float = 0.2) -> None:
        if key.ndim != 1 or not len(key) or not step > 0:
            raise ParameterError(
                f"a key of shape {tuple(key.shape)} and step={step!r}: give bits [B] and a step above 0"
            )
        self.key, self.step = key.bool(), step
        self._waves = torch.from_numpy(fft.dct(np.eye(BLOCK), axis=0, norm="ortho"))

    def encode(self, images: Tensor) -> Tensor:
        """The luma is changed by the same amount in every channel, then clipped to [0, 1]."""
        coefficients = self._coefficients(images)
        carried = self._carried(coefficients)
        b = self.key.to(carried)[self._places(carried)] / 2
        wanted = self.step * ((carried / self.step - b).round() + b)
        change = torch.zeros_like(coefficients)
        per_block = (wanted - carried).view(*coefficients.shape[:3], len(CARRIERS))
        for n, (i, j) in enumerate(CARRIERS):
            change[..., i, j] = per_block[..., n]
        waves = self._waves.to(change.device)
        blocks = waves.T @ change @ waves
        low = blocks.permute(0, 1, 3, 2, 4).flatten(3).flatten(1, 2)
        pixels = low.repeat_interleave(2, 1).repeat_interleave(2, 2) / 2
        height, width = images.shape[2:]
        whole = F.pad(pixels, (0, width - pixels.shape[2], 0, height - pixels.shape[1]))
        return (images.double() + whole[:, None]).clamp(0, 1).to(images)

    def bits(self, images: Tensor) -> Tensor:
        """The sign of each bit's summed votes `cos(2 pi c / D)`, which is 1 where it says 0 and -1 where it says 1."""
        return self._votes(images) < 0

    def score(self, images: Tensor) -> Tensor:
        """The share of right bits."""
        votes = self._votes(images)
        right = ((votes < 0) == self.key.to(votes.device)).double().mean(1)
        return right.where(votes.isfinite().all(1), torch.nan)

    def _votes(self, images: Tensor) -> Tensor:
        """float64 `[N, B]`."""
        carried = self._carried(self._coefficients(images))
        agree = torch.cos(2 * math.pi * carried / self.step)
        votes = carried.new_zeros(carried.shape[0], len(self.key))
        return votes.index_add(1, self._places(carried), agree)

    def _coefficients(self, images: Tensor) -> Tensor:
        """float64 `[N, rows, columns, 4, 4]` of the low band's blocks."""
        n, channels, height, width = images.shape
        rows, columns = height // (2 * BLOCK), width // (2 * BLOCK)
        if channels not in (1, 3) or rows * columns * len(CARRIERS) < len(self.key):
            raise ParameterError(
                f"images of {channels} x {height} x {width} carry {rows * columns * len(CARRIERS)} bits, with 1 or 3 "
                f"channels; the key has {len(self.key)}: give a shorter key or larger images"
            )
        weights = images.new_tensor(LUMA if channels == 3 else (1.0,)).double().view(-1, 1, 1)
        luma = (images.double() * weights).sum(1)[:, : rows * 2 * BLOCK, : columns * 2 * BLOCK]
        low = luma.view(n, rows * BLOCK, 2, columns * BLOCK, 2).sum((2, 4)) / 2
        blocks = low.view(n, rows, BLOCK, columns, BLOCK).permute(0, 1, 3, 2, 4)
        waves = self._waves.to(blocks.device)
        return waves @ blocks @ waves.T

    def _carried(self, coefficients: Tensor) -> Tensor:
        """The carriers, float64 `[N, M]`, block by block."""
        return torch.stack([coefficients[..., i, j] for i, j in CARRIERS], -1).flatten(1)

    def _places(self, carried: Tensor) -> Tensor:
        """Which bit each carrier has, int64 `[M]`."""
        return torch.arange(carried.shape[1], device=carried.device) % len(self.key)


def random_key(n: int, seed: int) -> Tensor:
    """Fair bits, bool `[n]`."""
    return SampleRng.of(seed, "watermark-key", ("key",)).uniform(n)[0] < 0.5


def false_positive_rate(n: int, matched: int) -> float:
    """The probability that at least `matched` bits of a random key are right by chance.

    Args:
        n: bits of the key.
        matched: right ones.

    Raises:
        ParameterError: there is no bit, or a number of matches that cannot be.

    >>> round(false_positive_rate(32, 24), 5), round(false_positive_rate(64, 42), 5)
    (0.0035, 0.00843)
    """
    if n < 1 or not 0 <= matched <= n:
        raise ParameterError(f"matched={matched} must be 0 to n, and n={n} at least 1")
    return float(scipy.stats.binom.sf(matched - 1, n, 0.5))


def matches_needed(n: int, rate: float) -> int:
    """The fewest right bits that chance reaches with at most a probability; n + 1 where even all are too few.

    Args:
        n: bits of the key.
        rate: that probability, inside (0, 1).

    Raises:
        ParameterError: a number is not allowed.

    >>> matches_needed(32, 0.0035), matches_needed(3, 0.1)
    (25, 4)
    """
    if n < 1 or not 0 < rate < 1:
        raise ParameterError(f"n={n} must be at least 1, and rate={rate!r} inside (0, 1)")
    return next(k for k in range(n + 2) if scipy.stats.binom.sf(k - 1, n, 0.5) <= rate)


def against_the_detector(scores: Tensor, marked: Tensor) -> Tensor:
    """Scores in which an image that could not be decoded counts as a mistake, not as no image.

    Args:
        scores: float `[N]`, NaN where there is none.
        marked: bool `[N]`.

    Returns:
        Minus infinity for such an image that is marked, infinity for one that is not.
    """
    worst = torch.where(marked, -torch.inf, torch.inf).to(scores)
    return torch.where(scores.isnan(), worst, scores)


class WatermarkDetector(Detector):
    """How marked an image looks; images with the mark are the abnormal ones. It reads pixels, not the model."""

    @abstractmethod
    def watermarker(self, image: tuple[int, int, int], bank: Bank) -> Watermarker:
        """The mark of this key on images of one size.

        Args:
            image: channels, height and width.
            bank: what `fit` left; empty for a mark that is not learned.

        Raises:
            ParameterError: such images cannot carry it, or it must be fitted first.
        """

    def mark(self, images: Tensor, bank: Bank | None = None) -> Tensor:
        """The images with the mark, `[N, C, H, W]` in [0, 1].

        Args:
            images: `[N, C, H, W]` in [0, 1].
            bank: as for `watermarker`; None for an empty one.

        Raises:
            ParameterError: such images cannot carry it, or it must be fitted first.
        """
        return self._on(images, bank or {}).encode(images)

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return self._on(forward.pixels, bank).score(forward.pixels).double()

    def _on(self, images: Tensor, bank: Bank) -> Watermarker:
        channels, height, width = images.shape[1:]
        return self.watermarker((channels, height, width), bank)
