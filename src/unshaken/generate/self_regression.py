"""NoiSER: a small network that learns to repeat noise, and so brings images of any exposure to a middle one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.descent import descend
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng, seeded
from unshaken.generate.saved import check_finite, read_tensors
from unshaken.models.loaders.weights import first_line, load_weights
from unshaken.store.run_dir import RunDir

FORMAT = "unshaken-self-regression-1"
BETAS = (0.5, 0.999)
SMALLEST = 8
"""Least side of an image in pixels: fewer give no useful statistics."""
Norm = Literal["instance", "batch", "layer", "none"]
Padding = Literal["reflect", "replicate", "zeros"]


class SelfRegressionSettings(Parameters):
    """The network and the noise that it learns to repeat."""

    hidden: PositiveInt = Field(default=16, description="channels h of the hidden layer", le=256)
    norm: Norm = Field(default="instance", description="normalisation of the hidden layer; none does not enhance")
    padding: Padding = Field(
        default="reflect", description="border of the convolutions; zeros leave frames on dark images"
    )
    mu: float = Field(default=0.0, description="mean of the noise, in [-1, 1] units; moves the brightness", ge=-1, le=1)
    sigma: PositiveFloat = Field(
        default=3.0, description="deviation of the noise before it is clipped to [-1, 1]", le=100
    )
    tv: NonNegativeFloat = Field(default=1.0, description="weight of the total variation of the output", le=100)
    patch: PositiveInt = Field(default=104, description="side of a noise image in pixels", ge=SMALLEST, le=1024)
    steps: PositiveInt = Field(default=500, description="optimizer steps, each on one new noise image", le=100_000)
    lr: PositiveFloat = Field(default=2e-3, description="largest learning rate of Adam; half a cosine down to 0", le=1)
    seed: NonNegativeInt = Field(default=0, description="random seed of weights and noise")


class SelfRegression(nn.Module):
    """Convolution, normalisation, GELU, convolution, tanh: 54 h + h + 3 weights, 883 for h = 16.

    Args:
        settings: of the network; fresh weights follow from its seed.
    """

    def __init__(self, settings: SelfRegressionSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or SelfRegressionSettings()
        h, border = self.settings.hidden, self.settings.padding
        norms = {
            "instance": nn.InstanceNorm2d(h),
            "batch": nn.BatchNorm2d(h, affine=False),
            "layer": nn.GroupNorm(1, h, affine=False),
            "none": nn.Identity(),
        }
        with seeded(self.settings.seed):
            self.net = nn.Sequential(
                nn.Conv2d(3, h, 3, padding=1, padding_mode=border), norms[self.settings.norm], nn.GELU(),
                nn.Conv2d(h, 3, 3, padding=1, padding_mode=border), nn.Tanh(),
            )  # fmt: skip

    def regress(self, x: Tensor) -> Tensor:
        """`f(x)`: `[N, 3, H, W]` in [-1, 1] to the same."""
        found: Tensor = self.net(x)
        return found

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Enhance images: `(f(2 x - 1) + 1) / 2`.

        Args:
            images: `[N, C, H, W]` in [0, 1], any size from 8 pixels; of one channel, it stands for all three, whose
                mean is the result.

        Returns:
            The same shape, in [0, 1].

        Raises:
            ModelError: the images have other channels, or are too small.
        """
        channels, height, width = images.shape[1:]
        if channels not in (1, 3) or min(height, width) < SMALLEST:
            raise ModelError(
                f"noise self-regression: images of {channels} channels and {height} x {width} pixels; it takes 1 or 3 "
                f"channels and at least {SMALLEST} x {SMALLEST} pixels"
            )
        y = (self.regress(2 * images.clamp(0, 1).expand(-1, 3, -1, -1) - 1) + 1) / 2
        return y.mean(1, keepdim=True) if channels == 1 else y

    def save(self, path: Path | str) -> None:
        """Write settings and weights as one safetensors file, whole or not at all.

        Raises:
            RunError: the file cannot be written.
        """
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.net.state_dict().items()}
        metadata = {"format": FORMAT, "settings": self.settings.model_dump_json()}
        RunDir(Path(path).parent).write(save_tensors(tensors, metadata), Path(path).name)


def total_variation(y: Tensor) -> Tensor:
    """Squared differences of neighbours, below and beside, over the number of values: a scalar.

    >>> total_variation(torch.tensor([[[[1.0, -1.0], [-1.0, 1.0]]]])).item()  # 4 (2 H W - H - W) / (H W)
    4.0
    """
    return (y.diff(dim=2).square().sum() + y.diff(dim=3).square().sum()) / y.numel()


def noise_images(rng: SampleRng, settings: SelfRegressionSettings) -> Tensor:
    """`clip(N(mu, sigma^2), -1, 1)`, `[N, 3, P, P]`: a noise image for each stream."""
    return (settings.mu + settings.sigma * rng.normal(3, settings.patch, settings.patch)).clamp(-1, 1)


def fit_self_regression(settings: SelfRegressionSettings | None = None, *, device: str = "cpu") -> SelfRegression:
    """Train the network to repeat noise: `mean |f(n) - n| + tv TV(f(n))`; no image is seen.

    Args:
        settings: of the network and the noise; the same ones give the same weights on a CPU.
        device: to train on.

    Returns:
        The network in evaluation mode, without gradients of its weights.

    Raises:
        RunError: the loss is no number any more.

    Source: Zhang et al. 2022, arXiv:2211.04700; noise, network and loss as in a reimplementation of it.
    """
    model = SelfRegression(settings).to(device).train()
    settings = model.settings

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        n = noise_images(rng, settings).to(device)
        y = model.regress(n)
        return (y - n).abs().mean() + settings.tv * total_variation(y)

    adam = torch.optim.Adam(model.parameters(), lr=settings.lr, betas=BETAS)
    descend(adam, loss, settings.steps, steps=settings.steps, batch_size=1, seed=settings.seed, name="self-regression")
    return model.eval().requires_grad_(False)


def load_self_regression(path: Path | str) -> SelfRegression:
    """Read a network that `SelfRegression.save` wrote, in evaluation mode, without gradients of its weights.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    path = Path(path)
    metadata, weights = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{path} holds no network of noise self-regression (weights of a classifier?)")
    try:
        settings = SelfRegressionSettings(**json.loads(metadata["settings"]))
    except (ParameterError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{path} is a damaged network of noise self-regression ({first_line(error)})") from None
    model = SelfRegression(settings)
    load_weights(model.net, weights, path)
    check_finite(model.net.state_dict(), path)
    return model.eval().requires_grad_(False)
