"""`VAE`: a small convolutional variational auto-encoder, a generator with an encoder."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng, seeded
from unshaken.generate.generator import Generator, GeneratorSettings
from unshaken.generate.latent.latent_generator import LatentGenerator


@register("vae", reference="Kingma & Welling 2014, arXiv:1312.6114")
class VAESettings(GeneratorSettings):
    """VAE: an encoder and a decoder of a short code; blurred images, and a code for any image at once.

    Its first decoder layer is linear, so that directions of the code are found in closed form.
    """

    latents: PositiveInt = Field(default=24, description="length d of the code", le=4096)
    width: PositiveInt = Field(default=16, description="channels of the level of half the side", le=1024)
    beta: NonNegativeFloat = Field(default=1.0, description="weight of the KL term; 1 for the bound on the likelihood")

    def build(self, image: tuple[int, int, int], seed: int) -> VAE:
        """Build an untrained model.

        Args:
            image: channels, height and width; both sides multiples of 4.
            seed: of the weights.

        Raises:
            ParameterError: a side is no multiple of 4.
        """
        return VAE(self, image, seed)


class VAE(Generator, LatentGenerator):
    """Two strided convolutions to a code, a linear layer and two transposed convolutions back.

    Args:
        settings: what it is built from.
        image: channels, height and width; both sides multiples of 4.
        seed: of the weights.

    Raises:
        ParameterError: a side is no multiple of 4.
    """

    kind: ClassVar[str] = "vae"

    def __init__(self, settings: VAESettings, image: tuple[int, int, int], seed: int = 0) -> None:
        super().__init__()
        channels, height, side = image
        if height % 4 or side % 4:
            raise ParameterError(f"a vae is for images whose sides are multiples of 4, not {height}x{side}: use ?size=")
        self.settings, self._image = settings, image
        near, far = settings.width, 2 * settings.width
        self._coarse = (far, height // 4, side // 4)
        numbers = far * (height // 4) * (side // 4)
        with seeded(seed):
            self.encoder = nn.Sequential(
                nn.Conv2d(channels, near, 4, 2, 1), nn.SiLU(), nn.Conv2d(near, far, 4, 2, 1), nn.SiLU(), nn.Flatten(),
                nn.Linear(numbers, 2 * settings.latents),
            )  # fmt: skip
            self.first = nn.Linear(settings.latents, numbers)
            self.rest = nn.Sequential(
                nn.SiLU(),
                nn.ConvTranspose2d(far, near, 4, 2, 1),
                nn.SiLU(),
                nn.ConvTranspose2d(near, channels, 4, 2, 1),
            )

    @property
    @override
    def image(self) -> tuple[int, int, int]:
        return self._image

    @property
    @override
    def classes(self) -> int:
        return 0

    @property
    @override
    def latents(self) -> int:
        return self.settings.latents

    @property
    @override
    def name(self) -> str:
        return "vae"

    @override
    def features(self, codes: Tensor) -> Tensor:
        """Output of the linear layer, `[N, 2 width, H / 4, W / 4]`."""
        found: Tensor = self.first(codes)
        return found.view(-1, *self._coarse)

    @override
    def decode(self, features: Tensor) -> Tensor:
        logits: Tensor = self.rest(features)
        return logits.sigmoid()

    @override
    def encode(self, images: Tensor) -> Tensor:
        return self._moments(images)[0]

    @override
    def first_weight(self) -> Tensor:
        return self.first.weight.detach()

    def loss(self, x: Tensor, rng: SampleRng, labels: Tensor | None = None) -> Tensor:
        """The negative bound on the log-likelihood, `BCE + beta KL`, in nats a pixel.

        Args:
            x: `[N, C, H, W]` in [-1, 1].
            rng: of these samples; the codes are drawn from it.
            labels: none are learned.

        Returns:
            `[N]`.
        """
        images = (x + 1) / 2
        mean, log_variance = self._moments(images)
        codes = mean + (0.5 * log_variance).exp() * rng.fold("code").normal(self.latents)
        logits = self.rest(self.features(codes))
        error = F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return (error + self.settings.beta * kl) / images[0].numel()

    @override
    def sample(
        self, n: int, *, steps: int | None = None, seed: int = 0, first: int = 0, labels: Tensor | None = None,
        guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        self._check_options(steps, guidance)

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            return 2 * self.generate(rng.fold("code").normal(self.latents) / guidance) - 1

        return self._sampled(n, draw, seed=seed, first=first, labels=labels, batch_size=batch_size)

    @override
    def vary(
        self, images: Tensor, strength: float, *, steps: int | None = None, seed: int = 0, first: int = 0,
        labels: Tensor | None = None, guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        """See `Generator.vary`: the code z of an image becomes `sqrt(1 - s^2) z + s n`, n normal."""
        self._check_options(steps, guidance)
        self._check_variation(images, strength)

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            noise = rng.fold("code").normal(self.latents) / guidance
            codes = (1 - strength**2) ** 0.5 * self.encode(images[rows].to(noise)) + strength * noise
            return 2 * self.generate(codes) - 1

        return self._sampled(len(images), draw, seed=seed, first=first, labels=labels, batch_size=batch_size)

    def _moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(images).chunk(2, 1)
        return mean, log_variance.clamp(-20, 20)

    def _check_options(self, steps: int | None, guidance: float) -> None:
        if steps is not None:
            raise ParameterError(f"steps={steps}: a vae draws in one step; leave steps out")
        if not 0 < guidance < float("inf"):
            raise ParameterError(f"guidance={guidance:g} must be above 0 here: codes have deviation 1 / guidance")
