"""The codes of an auto-encoder, to search through."""

from __future__ import annotations

import math

from torch import Tensor
from typing_extensions import override

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
    @override
    def image(self) -> tuple[int, int, int]:
        return self._image

    @property
    @override
    def latents(self) -> int:
        return math.prod(self._code)

    @property
    @override
    def name(self) -> str:
        return "auto-encoder"

    @override
    def features(self, codes: Tensor) -> Tensor:
        return codes.view(-1, *self._code)

    @override
    def decode(self, features: Tensor) -> Tensor:
        return self.net.decode(features)

    @override
    def encode(self, images: Tensor) -> Tensor:
        return self.net.encode(images).flatten(1)
