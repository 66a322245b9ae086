"""Networks whose answer is known by hand, and a few images."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unshaken.data import load_data, stream
from unshaken.generate.generator import NoiseNet
from unshaken.generate.unet import UNet, UNetSettings

TINY = UNetSettings(image=(1, 8, 8), width=8, levels=(1, 2))
MEAN, STD = 0.2, 0.3


class GaussianEDM(NoiseNet):
    """F of the ideal denoiser of pixels drawn from N(m, s^2): `D(x; t) = m + s^2 / (s^2 + t^2) (x - m)`.

    F is what `D = c_skip x + c_out F` asks for, with sigma_data 0.5; t comes back from the position, `25 ln t`.
    """

    def __init__(self, image: tuple[int, int, int] = (1, 4, 4), classes: int = 0) -> None:
        super().__init__(image, classes)

    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        t = torch.exp(position / 25).view(-1, 1, 1, 1)
        noisy = x * (t**2 + 0.25).sqrt()
        ideal = MEAN + STD**2 / (STD**2 + t**2) * (noisy - MEAN)
        return (ideal - 0.25 / (t**2 + 0.25) * noisy) * (t**2 + 0.25).sqrt() / (0.5 * t)


class GaussianDDPM(NoiseNet):
    """The ideal noise predictor of the same pixels: `E[n | x_t] = sqrt(1-a) (x_t - sqrt(a) m) / (a s^2 + 1 - a)`."""

    def __init__(self, alpha_bar: Tensor) -> None:
        super().__init__((1, 4, 4))
        self.alpha_bar = alpha_bar

    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        t = (position * len(self.alpha_bar) / 1000).round().long()
        a = self.alpha_bar[t].float().view(-1, 1, 1, 1)
        return (1 - a).sqrt() * (x - a.sqrt() * MEAN) / (a * STD**2 + 1 - a)


class LabelNet(NoiseNet):
    """A network whose output is the label everywhere, and -1 for "no class"."""

    def __init__(self) -> None:
        super().__init__((1, 4, 4), 3)

    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        value = torch.full((len(x),), 3) if labels is None else labels
        return torch.where(value == 3, -1.0, value.float()).view(-1, 1, 1, 1).expand_as(x)


@pytest.fixture(scope="session")
def clothes() -> tuple[Tensor, Tensor]:
    """64 embedded images as bytes, shrunk to 8 x 8, and labels."""
    (batch,) = stream(load_data("demo"), list(range(64)), batch_size=64)
    small = torch.nn.functional.adaptive_avg_pool2d(batch.images, 8)
    return (small * 255).round().to(torch.uint8), batch.labels


@pytest.fixture
def tiny() -> UNet:
    """3 thousand parameters... and all that the large one has."""
    return UNet(TINY)


def normal_quantiles(n: int) -> Tensor:
    """n values whose mean is 0 and whose deviation is 1, as near as n allows."""
    u = (torch.arange(n) + 0.5) / n
    return math.sqrt(2) * torch.erfinv(2 * u - 1)
