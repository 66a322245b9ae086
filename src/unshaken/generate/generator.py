"""Makers of images of classes, from noise or from other images: `Generator` and `Diffusion`, which takes noise away."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import chain
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.progress import track
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng


class GeneratorSettings(Parameters, ABC):
    """The base of the room's methods: what kind of model is to learn."""

    room: ClassVar[str] = "generate"


class Generator(nn.Module, ABC):
    """A generative model of images in [0, 1]; sample i follows from the seed and i alone."""

    kind: ClassVar[str]
    """The name of its method, also in files."""

    @property
    @abstractmethod
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of its images."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes K that it can be asked for; 0 for none."""

    @property
    def usual_steps(self) -> int | None:
        """Levels of noise where none are named; None for a generator without."""
        return None

    @abstractmethod
    def sample(
        self, n: int, *, steps: int | None = None, seed: int = 0, first: int = 0, labels: Tensor | None = None,
        guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        """Images made from noise, float32 `[n, C, H, W]` in [0, 1].

        Args:
            n: how many.
            steps: levels of noise on the way; None for what is usual for this kind.
            seed: of all; sample i is the same whatever n and the batch size.
            first: number of the first sample.
            labels: int64 `[n]`, the class of each; None for any.
            guidance: strength of the class, 1 for what the model learned.
            batch_size: images in one pass.

        Raises:
            ParameterError: a number is not allowed, or the model has no such classes.
        """

    @abstractmethod
    def vary(
        self, images: Tensor, strength: float, *, steps: int | None = None, seed: int = 0, first: int = 0,
        labels: Tensor | None = None, guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        """Variations of images, float32 `[N, C, H, W]` in [0, 1].

        Args:
            images: `[N, C, H, W]` in [0, 1].
            strength: in (0, 1]: how much of an image is made anew; at 1 it has almost no influence.
            steps: as in `sample`.
            seed: as in `sample`.
            first: as in `sample`.
            labels: the class wanted of each variation; None for none.
            guidance: as in `sample`.
            batch_size: as in `sample`.

        Raises:
            ModelError: images are of another size or number of channels.
            ParameterError: as `sample`; or the strength is out of range.
        """

    def check(self, images: Tensor, labels: Tensor | None) -> None:
        """Refuse images and labels that are not this model's.

        Raises:
            ModelError: images are of another size or number of channels.
            ParameterError: labels do not fit the images, or the model has no such classes.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != self.image:
            own, given = ("x".join(str(n) for n in s) for s in (self.image, images.shape[-3:]))
            raise ModelError(f"this {self.kind} model is for images of {own} (channels x height x width), not {given}")
        if labels is None:
            return
        if not self.classes:
            raise ParameterError(f"this {self.kind} model was trained without classes: leave labels out")
        if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
            raise ParameterError(
                f"labels must be int64 of shape ({len(images)},), not {labels.dtype} of {tuple(labels.shape)}"
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise ParameterError(
                f"labels run from {int(labels.min())} to {int(labels.max())}; the model knows 0..{self.classes - 1}"
            )

    def _sampled(
        self, n: int, draw: Callable[[SampleRng, Tensor | None, slice], Tensor], *, seed: int, first: int,
        labels: Tensor | None, batch_size: int,
    ) -> Tensor:  # fmt: skip
        """Samples number `first` to `first + n - 1` in [-1, 1], drawn in batches of rows, as images in [0, 1]."""
        if n < 0 or first < 0 or batch_size < 1:
            raise ParameterError(f"n={n} and first={first} must be 0 or more, batch_size={batch_size} 1 or more")
        device = next(chain(self.parameters(), self.buffers()), torch.zeros(0)).device
        self.check(torch.empty(n, *self.image, device="meta"), labels)
        done = [torch.empty(0, *self.image, device=device)]
        with torch.no_grad(), track("sampling", n) as task:
            for start in range(0, n, batch_size):
                rows = slice(start, min(n, start + batch_size))
                rng = SampleRng.of(seed, self.kind, [str(first + i) for i in range(rows.start, rows.stop)])
                chosen = None if labels is None else labels[rows].to(device)
                done.append((draw(rng.to(device), chosen, rows).clamp(-1, 1) + 1) / 2)
                task.advance(rows.stop - rows.start)
        return torch.cat(done)

    def _check_variation(self, images: Tensor, strength: float) -> None:
        self.check(images, None)
        if not bool(torch.isfinite(images).all()):
            raise ParameterError("images to vary hold values that are no finite numbers: leave those images out")
        if not 0 < strength <= 1:
            raise ParameterError(f"strength={strength:g} must be in (0, 1]: how much of an image is made anew")


class NoiseNet(nn.Module, ABC):
    """A network of noisy images and of their amount of noise: `forward(x, position, labels)`.

    Args:
        image: channels, height and width.
        classes: number of classes K that it takes as an input; 0 for none.
    """

    def __init__(self, image: tuple[int, int, int], classes: int = 0) -> None:
        super().__init__()
        self.image, self.classes = image, classes

    @abstractmethod
    @override
    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        """Output of the network for noisy images.

        Args:
            x: float32 `[N, C, H, W]`.
            position: float32 `[N]`, where on its scale of noise each image is; differences of 1 can be distinguished.
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
        """Loss of each image that training lowers.

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

    def run_network(self, x: Tensor, position: Tensor, labels: Tensor | None, guidance: float = 1.0) -> Tensor:
        """Output of the network, with classifier-free guidance `u + w (c - u)`.

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
