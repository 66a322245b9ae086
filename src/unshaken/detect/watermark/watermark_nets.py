"""A learned watermark: an encoder that hides bits in an image and a decoder that reads them, trained together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unshaken.core.classifier import evaluating
from unshaken.core.descent import descend
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng, seeded
from unshaken.models.networks.small import SmallNet


class WatermarkSettings(Parameters):
    """Sizes of the networks and settings of their training."""

    image: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(3, 32, 32), description="channels, height, width"
    )
    n_bits: PositiveInt = Field(default=30, description="bits that an image carries")
    strength: float = Field(default=16 / 255, gt=0, le=1, description="largest change of a pixel, in [0, 1] units")
    width: PositiveInt = Field(default=16, description="channels of the encoder")
    steps: PositiveInt = Field(default=600, description="optimizer steps")
    batch_size: PositiveInt = Field(default=64, description="images of a step")
    lr: PositiveFloat = Field(default=3e-3, description="largest learning rate of Adam")
    quality: NonNegativeFloat = Field(
        default=0.1, description="weight of the mean squared change, over strength squared"
    )
    noise: NonNegativeFloat = Field(
        default=0.05, description="deviation of noise that the decoder learns under, [0, 1] units"
    )
    seed: NonNegativeInt = Field(default=0, description="seed of weights, order, messages and noise")


class LearnedWatermark(nn.Module):
    """Both networks, and the key that `encode` hides and `score` looks for (`Watermarker`).

    The message becomes a picture of half the side, which is added up with what three convolutions make of it and of
    the image; tanh keeps each pixel's change within `strength`. The decoder is `SmallNet` with a logit a bit.

    Args:
        settings: what it is built from.
        key: bool `[n_bits]`.

    Raises:
        ParameterError: the key is of another length, or the image is not square with a side that is a multiple of 4.

    Source:
        After Zhu et al. 2018, arXiv:1807.09937, and Tancik et al. 2020, arXiv:1904.05343; far smaller.
    """

    def __init__(self, settings: WatermarkSettings, key: Tensor) -> None:
        super().__init__()
        channels, height, side = settings.image
        if height != side or side % 4:
            raise ParameterError(f"image={settings.image}: height and width must be one multiple of 4")
        if tuple(key.shape) != (settings.n_bits,):
            raise ParameterError(f"a key of {tuple(key.shape)} for a watermark of {settings.n_bits} bits")
        self.settings, self.key = settings, key.bool()
        with seeded(settings.seed):
            self.message = nn.Linear(settings.n_bits, channels * (side // 2) ** 2)
            self.paint = nn.Sequential(
                nn.Conv2d(2 * channels, settings.width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(settings.width, settings.width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(settings.width, channels, 3, padding=1),
            )
            self.decoder = SmallNet(settings.n_bits, channels, side)

    def hide(self, images: Tensor, messages: Tensor) -> Tensor:
        """Images `[N, C, H, W]` in [0, 1] with messages, float `[N, n_bits]` of 0 and 1; gradients pass through."""
        channels, side, _ = self.settings.image
        picture = self.message(2 * messages - 1).view(-1, channels, side // 2, side // 2)
        picture = F.interpolate(picture, scale_factor=2.0)
        change = torch.tanh(picture + self.paint(torch.cat([2 * images - 1, picture], 1)))
        return (images + self.settings.strength * change).clamp(0, 1)

    def logits(self, images: Tensor) -> Tensor:
        """`[N, n_bits]`, positive where a bit is read as 1."""
        read: Tensor = self.decoder(2 * images - 1)
        return read

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The images with the key."""
        self._check(images)
        with evaluating(self):
            parts = [self.hide(x, self.key.to(x).expand(len(x), -1)) for x in torch.split(images, 256)]
        return torch.cat([images[:0], *parts])

    @torch.no_grad()
    def bits(self, images: Tensor) -> Tensor:
        """Bool `[N, n_bits]`."""
        return self._read(images) > 0

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """The share of right bits, float64 `[N]`."""
        read = self._read(images)
        right = ((read > 0) == self.key.to(read.device)).double().mean(1)
        return right.where(read.isfinite().all(1), torch.nan)

    def _read(self, images: Tensor) -> Tensor:
        self._check(images)
        with evaluating(self):
            return torch.cat([images.new_zeros(0, len(self.key)), *(self.logits(x) for x in torch.split(images, 256))])

    def _check(self, images: Tensor) -> None:
        """Refuse images of another size; go to the device of those that fit."""
        if tuple(images.shape[1:]) != self.settings.image:
            raise DataError(f"this watermark is for images of {self.settings.image}, not {tuple(images.shape[1:])}")
        self.to(images.device)


def fit_watermark(settings: WatermarkSettings, images: Tensor, key: Tensor) -> LearnedWatermark:
    """Train encoder and decoder on images, each step with other random messages.

    The loss is the cross-entropy of the bits, read under noise, and `quality` times the mean squared change.

    Args:
        settings: networks and training.
        images: uint8 `[N, C, H, W]`.
        key: bool `[n_bits]`, that of the result; training has no use for it.

    Returns:
        In evaluation mode.

    Raises:
        DataError: images are no bytes, or of another size.
        ParameterError: the key does not fit.
        RunError: the loss is no number any more.
    """
    made = LearnedWatermark(settings, key).train()
    if images.dtype != torch.uint8 or not len(images):
        raise DataError(f"images to learn from must be uint8 [N, C, H, W], not {images.dtype} of {tuple(images.shape)}")
    made._check(images)

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        x = images[rows].float() / 255
        messages = (rng.fold("message").fresh(settings.n_bits) < 0.5).float()
        marked = made.hide(x, messages)
        noisy = marked + settings.noise * rng.fold("noise").noise(*settings.image)
        wrong = F.binary_cross_entropy_with_logits(made.logits(noisy), messages)
        return wrong + settings.quality * (marked - x).square().mean() / settings.strength**2

    descend(
        torch.optim.Adam(made.parameters(), lr=settings.lr),
        loss,
        len(images),
        steps=settings.steps,
        batch_size=settings.batch_size,
        seed=settings.seed,
        name="watermark",
    )
    return made.eval()
