"""Learned watermark: bits that one network hides in an image and another reads, both trained on the user's images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.watermark.watermark import WatermarkDetector, Watermarker, random_key
from unshaken.detect.watermark.watermark_nets import LearnedWatermark as LearnedWatermark
from unshaken.detect.watermark.watermark_nets import WatermarkSettings as WatermarkSettings
from unshaken.detect.watermark.watermark_nets import fit_watermark as fit_watermark

PIXELS = "watermark_pixels"
"""Name of the images among what a fit keeps of each sample."""


@dataclass(frozen=True, slots=True)
class CentralSquare:
    """A watermark for square images, in the central square of images of any size; the rest stays as it is.

    Args:
        watermark: of images of `side` x `side` pixels.
        side: in pixels.
    """

    watermark: LearnedWatermark
    side: int

    def encode(self, images: Tensor) -> Tensor:
        """The images with the mark."""
        marked = images.clone()
        central(marked, self.side).copy_(self.watermark.encode(central(images, self.side)))
        return marked

    def bits(self, images: Tensor) -> Tensor:
        """The bits of the central square, bool `[N, B]`."""
        return self.watermark.bits(central(images, self.side))

    def score(self, images: Tensor) -> Tensor:
        """The share of right bits in the central square, float64 `[N]`."""
        return self.watermark.score(central(images, self.side))


def central(images: Tensor, side: int) -> Tensor:
    """A view of the central square of images `[N, C, H, W]`."""
    top, left = ((n - side) // 2 for n in images.shape[2:])
    return images[:, :, top : top + side, left : left + side]


@register("learned-watermark", reference="Zhu et al. 2018, arXiv:1807.09937", group="watermark")
class LearnedWatermarkDetector(WatermarkDetector):
    """The share of the key's bits that a trained decoder reads; encoder and decoder are trained by the fit.

    A fit keeps its images in memory and trains both networks on them; fitted detectors set the mark, too. The mark
    lies in the largest central square whose side is a multiple of 4 pixels. See `LearnedWatermark`.
    """

    not_exported: ClassVar[str] = "its decoder is a network of its own, which is not written into a model's graph"

    seed: NonNegativeInt = Field(default=0, description="seed of the key, of weights, order, messages and noise")
    n_bits: PositiveInt = Field(default=30, description="bits of the key")
    strength: float = Field(default=16 / 255, gt=0, le=1, description="largest change of a pixel, in [0, 1] units")
    width: PositiveInt = Field(default=16, description="channels of the encoder")
    steps: PositiveInt = Field(default=600, description="optimizer steps")
    batch_size: PositiveInt = Field(default=64, description="images of a step")

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        square = central(forward.pixels, _side(forward.pixels.shape[2:]))
        return {PIXELS: (square * 255).round().to(torch.uint8)}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        images = fit_data.rows[PIXELS].cpu()
        with torch.enable_grad():
            return dict(fit_watermark(self._settings(images), images, self._key).state_dict())

    @override
    def watermarker(self, image: tuple[int, int, int], bank: Bank) -> Watermarker:
        if not bank:
            raise ParameterError(
                f"{self.info.name}: its networks must be trained first: unshaken detect fit --method {self.info.name} "
                "--out DETECTORS, then mark with --detectors DETECTORS"
            )
        side = _side(image[1:])
        made = LearnedWatermark(self._settings(torch.empty(0, image[0], side, side)), self._key)
        made.load_state_dict(bank)
        return CentralSquare(made.eval().to(next(iter(bank.values())).device), side)

    @property
    def _key(self) -> Tensor:
        return random_key(self.n_bits, self.seed)

    def _settings(self, images: Tensor) -> WatermarkSettings:
        channels, height, width = images.shape[1:]
        own = self.model_dump()
        return WatermarkSettings(image=(channels, height, width), **own)


def _side(sides: tuple[int, ...] | torch.Size) -> int:
    """The largest multiple of 4 that fits."""
    side = min(sides) // 4 * 4
    if not side:
        raise DataError(f"images of {sides[0]} x {sides[1]} pixels are too small for a learned watermark: 4 at least")
    return side
