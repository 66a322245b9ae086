"""`WatermarkDetector`: a detector that looks for a mark which a key makes, and that can set this mark itself."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.watermark.watermark import Watermarker


class WatermarkDetector(Detector):
    """How marked an image looks; images with the mark are the abnormal ones. It reads pixels, not the model."""

    @abstractmethod
    def watermarker(self, image: tuple[int, int, int]) -> Watermarker:
        """The mark of this key on images of one size.

        Args:
            image: channels, height and width.

        Raises:
            ParameterError: such images cannot carry it.
        """

    def mark(self, images: Tensor) -> Tensor:
        """The images with the mark, `[N, C, H, W]` in [0, 1].

        Raises:
            ParameterError: such images cannot carry it.
        """
        return self._on(images).encode(images)

    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        """See `Watermarker.score`."""
        return self._on(forward.pixels).score(forward.pixels).double()

    def _on(self, images: Tensor) -> Watermarker:
        channels, height, width = images.shape[1:]
        return self.watermarker((channels, height, width))
