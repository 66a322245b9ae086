"""`WatermarkDetector`: a detector that looks for a mark which a key makes, and that can set this mark itself."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor
from typing_extensions import override

from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.watermark.watermark import Watermarker


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
