"""`LatentGenerator`: what makes an image from a code, whatever it is inside."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from unshaken.core.errors import ModelError
from unshaken.core.rng import SampleRng


class LatentGenerator(nn.Module, ABC):
    """A generator `G(w) = s(h(w))` from a code w to an image in [0, 1].

    A subclass writes `image`, `latents` and `features`; one that is made of two parts writes `decode` too, so that an
    inversion may change what lies between them. `encode` and `first_weight` are for those that have them.
    """

    @property
    @abstractmethod
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of its images."""

    @property
    @abstractmethod
    def latents(self) -> int:
        """Length d of a code."""

    @property
    def name(self) -> str:
        """Name of the generator in messages."""
        return type(self).__name__

    @abstractmethod
    def features(self, codes: Tensor) -> Tensor:
        """The intermediate features `h(w)`, `[N, ...]`, of codes `[N, d]`; of a generator in one part the images."""

    def decode(self, features: Tensor) -> Tensor:
        """The images `s(F)`, `[N, C, H, W]`, of features; they may leave [0, 1] a little."""
        return features

    def generate(self, codes: Tensor, offset: Tensor | None = None) -> Tensor:
        """The images `s(h(w) + F)`, `[N, C, H, W]`.

        Args:
            codes: w, `[N, d]`.
            offset: F, of the shape of the features; None for none.
        """
        features = self.features(codes)
        return self.decode(features if offset is None else features + offset)

    def encode(self, images: Tensor) -> Tensor | None:
        """Codes `[N, d]` of images in [0, 1] by an encoder; None for a generator that has none."""
        return None

    def first_weight(self) -> Tensor | None:
        """The matrix A `[M, d]` that is applied first to a code, or several stacked; None where there is none."""
        return None

    def middle(self, codes: Tensor) -> Tensor:
        """Features `[N, M]` in which directions are sought where there is no first weight."""
        return self.features(codes).flatten(1)

    def mean_code(self) -> Tensor:
        """The code `[d]` from which an inversion starts."""
        weight = next(self.parameters(), next(self.buffers(), None))
        zero = torch.zeros(self.latents)
        return zero if weight is None else zero.to(weight.device)

    def draw_codes(self, rng: SampleRng) -> Tensor:
        """Codes `[N, d]` of the prior, standard normal."""
        return rng.fold("code").normal(self.latents)

    def check_images(self, images: Tensor) -> None:
        """Refuse images of another size or number of channels.

        Args:
            images: `[N, C, H, W]`.

        Raises:
            ModelError: they are not of the generator's form.
        """
        if tuple(images.shape[1:]) != self.image:
            own, given = ("x".join(str(n) for n in s) for s in (self.image, images.shape[1:]))
            raise ModelError(
                f"the generator {self.name} is for images of {own} (channels x height x width), not {given}: use one "
                "that was trained on such images"
            )


def check_finite(values: Tensor, what: str, generator: str) -> Tensor:
    """Values, refused where a generator made one that is no finite number.

    Args:
        values: `[N, ...]`.
        what: they are, such as `codes`.
        generator: its name.

    Raises:
        ModelError: a value is NaN or infinite.
    """
    bad = ~values.flatten(1).isfinite().all(1)
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        raise ModelError(
            f"the generator {generator} gives NaN or infinite {what} for {int(bad.sum())} of {len(values)} images (the "
            f"first is number {first} of its batch): it is damaged, or its training failed"
        )
    return values
