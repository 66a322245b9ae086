"""`AutoEncoderCodes`: a trained convolutional auto-encoder as a generator with codes."""

from __future__ import annotations

import math

from torch import Tensor

from unshaken.generate.auto_encoder import AutoEncoder
from unshaken.generate.latent.latent_generator import LatentGenerator


class AutoEncoderCodes(LatentGenerator):
    """Codes are the numbers of the code's map, row after row; images are cut to [0, 1] by who uses them.

    Args:
        net: trained, in evaluation mode.
        image: channels, height and width of the images; sides are multiples of 2^halvings.
    """

    def __init__(self, net: AutoEncoder, image: tuple[int, int, int]) -> None:
        super().__init__()
        self.net, self._image = net, image
        factor = 2**net.halvings
        self._code = (net.code, image[1] // factor, image[2] // factor)

    @property
    def image(self) -> tuple[int, int, int]:
        """See `LatentGenerator.image`."""
        return self._image

    @property
    def latents(self) -> int:
        """See `LatentGenerator.latents`."""
        return math.prod(self._code)

    @property
    def name(self) -> str:
        """See `LatentGenerator.name`."""
        return "auto-encoder"

    def features(self, codes: Tensor) -> Tensor:
        """The code's map."""
        return codes.view(-1, *self._code)

    def decode(self, features: Tensor) -> Tensor:
        """The images that the decoder makes."""
        return self.net.decode(features)

    def encode(self, images: Tensor) -> Tensor:
        """The codes that the encoder gives."""
        return self.net.encode(images).flatten(1)
