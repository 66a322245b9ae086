"""`Diffusion`: what models that learn to take noise away share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Generator, GeneratorSettings


class NoiseNet(nn.Module, ABC):
    """A network that is shown noisy images and told how noisy they are: `forward(x, position, labels)`.

    Args:
        image: channels, height and width.
        classes: number of classes K that it can be told; 0 for none.
    """

    def __init__(self, image: tuple[int, int, int], classes: int = 0) -> None:
        super().__init__()
        self.image, self.classes = image, classes

    @abstractmethod
    @override
    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the network says of noisy images.

        Args:
            x: float32 `[N, C, H, W]`.
            position: float32 `[N]`, where on its scale of noise each image is; differences of 1 can be told apart.
            labels: int64 `[N]`, 0..K-1, or K for "no class"; None for no class at all.

        Returns:
            `[N, C, H, W]`.
        """


class DiffusionSettings(GeneratorSettings):
    """The base of diffusion models: a process of noise, made into a model by a network."""

    @abstractmethod
    def build(self, net: NoiseNet) -> Diffusion:
        """A model of this kind, untrained.

        Args:
            net: its network.
        """


class Diffusion(Generator):
    """A network and the process of noise that it was trained for.

    Images are in [0, 1] where they come in and go out; inside they are `x = 2 image - 1`, so that Gaussian noise of
    deviation sigma on images is noise of `2 sigma` on x.

    Args:
        net: the network.
        settings: of the process.
    """

    def __init__(self, net: NoiseNet, settings: DiffusionSettings) -> None:
        super().__init__()
        self.net, self.settings = net, settings

    @property
    @override
    def image(self) -> tuple[int, int, int]:
        return self.net.image

    @property
    @override
    def classes(self) -> int:
        return self.net.classes

    @abstractmethod
    def loss(self, x: Tensor, rng: SampleRng, labels: Tensor | None = None) -> Tensor:
        """What training makes small.

        Args:
            x: float32 `[N, C, H, W]` in [-1, 1].
            rng: of these samples; noise and its level are drawn from it.
            labels: int64 `[N]`, K for "no class"; None for none.

        Returns:
            `[N]`.
        """

    @abstractmethod
    def denoise(self, images: Tensor, sigma: float, labels: Tensor | None = None) -> Tensor:
        """The mean of clean images given noisy ones, in one pass, clipped to [0, 1]; gradients pass through it.

        Args:
            images: `[N, C, H, W]`, clean ones in [0, 1] plus Gaussian noise; not clipped.
            sigma: deviation of that noise, in [0, 1] pixel units.
            labels: int64 `[N]`, where the classes are known.

        Raises:
            ModelError: images are of another size or number of channels.
            ParameterError: the model was not trained for such noise.
        """

    @abstractmethod
    def check_sigma(self, sigma: float) -> None:
        """Refuse noise that the model was not made for.

        Args:
            sigma: deviation of noise on images, in [0, 1] pixel units.

        Raises:
            ParameterError: it is none, or too much.
        """

    def say(self, x: Tensor, position: Tensor, labels: Tensor | None, guidance: float = 1.0) -> Tensor:
        """What the network says, with classifier-free guidance `u + w (c - u)`.

        Args:
            x: `[N, C, H, W]`, scaled as the network wants it.
            position: `[N]`.
            labels: int64 `[N]` or None.
            guidance: w; 0 does without the class, 1 takes it as it is, more makes it stronger.

        Source:
            Ho & Salimans 2022, arXiv:2207.12598; their w is this one less 1.
        """
        if not len(x):
            return x  # torch's pixel_unshuffle loses the channels of no images
        if labels is None or guidance == 1:
            out: Tensor = self.net(x, position, labels)
            return out
        without = torch.full_like(labels, self.classes)
        u, c = self.net(x.repeat(2, 1, 1, 1), position.repeat(2), torch.cat([without, labels])).chunk(2)
        guided: Tensor = u + guidance * (c - u)
        return guided
