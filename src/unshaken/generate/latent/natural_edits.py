"""`NaturalEdits`: images moved along directions of a generator's code, what the generator cannot make kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unshaken.core.box import boxed
from unshaken.core.rng import SampleRng
from unshaken.generate.latent.directions import code_scales, find_directions
from unshaken.generate.latent.inversion import Inversion, invert
from unshaken.generate.latent.latent_generator import LatentGenerator, check_finite

PART = 256
"""Images in one pass of a generator."""


class NaturalEdits(nn.Module):
    """A frozen generator, and the directions along which its codes are moved: `d = sum_j a_j sigma_j n_j`.

    Args:
        generator: G.
        directions: n, orthonormal, `[k, d]`.
        scales: sigma, the deviation of training codes along each direction, `[k]`.
        origin: the code `[d]` from which images are inverted where the generator has no encoder; default its mean code.
        inversion: how they are.
    """

    def __init__(
        self, generator: LatentGenerator, directions: Tensor, scales: Tensor, *, origin: Tensor | None = None,
        inversion: Inversion | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.generator = generator.eval().requires_grad_(False)
        given = Inversion() if inversion is None else inversion
        self.inversion = given.model_copy(update={"shift": 0.0, "offset": 0.0})  # so that no image depends on others
        first = generator.mean_code() if origin is None else origin
        for name, value in {"directions": directions, "scales": scales, "origin": first}.items():
            self.register_buffer(name, value.detach().float())

    directions: Tensor
    scales: Tensor
    origin: Tensor

    @property
    def count(self) -> int:
        """Number k of directions."""
        return len(self.directions)

    def encode(self, images: Tensor) -> Tensor:
        """Codes `[N, d]` of images: by the encoder, or by descent where there is none.

        Args:
            images: `[N, C, H, W]` in [0, 1].

        Raises:
            ModelError: images are of another size, or codes are no finite numbers.
        """
        self.generator.check_images(images)
        parts = []
        for part in torch.split(images.float(), PART):
            with torch.no_grad():
                codes = self.generator.encode(part)
            if codes is None:
                codes = invert(self.generator, part, self.inversion, start=self.origin).codes
            parts.append(codes)
        whole = torch.cat(parts) if parts else images.new_zeros(0, self.generator.latents)
        return check_finite(whole.detach(), "codes", self.generator.name)

    def rebuild(self, codes: Tensor) -> Tensor:
        """The generator's own images `G(w)`, not clipped.

        Args:
            codes: `[N, d]`.

        Raises:
            ModelError: an image has values that are no finite numbers.
        """
        made = [self.generator.generate(part) for part in torch.split(codes, PART)]
        images = torch.cat(made) if made else codes.new_zeros(0, *self.generator.image)
        return check_finite(images, "images", self.generator.name)

    def moved(self, codes: Tensor, amounts: Tensor) -> Tensor:
        """Codes after an edit, `w + sum_j a_j sigma_j n_j`.

        Args:
            codes: `[N, d]`.
            amounts: a, `[N, k]`, in deviations of the training codes.
        """
        return codes + (amounts * self.scales) @ self.directions

    def edit(self, images: Tensor, codes: Tensor, amounts: Tensor, base: Tensor | None = None) -> Tensor:
        """Edited images `clip(x + G(w + d) - G(w))`: what the generator cannot make stays, and no edit changes nothing.

        Gradients pass from images to amounts.

        Args:
            images: x, `[N, C, H, W]` in [0, 1].
            codes: w, `[N, d]`.
            amounts: a, `[N, k]`.
            base: `G(w)`, where it is known.
        """
        base = self.rebuild(codes) if base is None else base
        made = self.rebuild(self.moved(codes, amounts))
        still = ~(amounts != 0).any(1).view(-1, 1, 1, 1)  # then the two differ by rounding at most
        return boxed(images + (made - torch.where(still, made.detach(), base)))

    def draw(self, rng: SampleRng, amplitude: float) -> Tensor:
        """Random amounts `[N, k]`, uniform on [-amplitude, amplitude).

        Args:
            rng: streams of N samples.
            amplitude: in deviations of the training codes.
        """
        return rng.fresh(self.count, low=-amplitude, high=amplitude)


def edits_of(
    generator: LatentGenerator, images: Tensor, k: int, *, seed: int = 0, inversion: Inversion | None = None
) -> NaturalEdits:
    """Edits along the directions of a generator, scaled by the codes of images; no filter keeps classes as they are.

    A generator without an encoder inverts these images together first, so that their common shift is where inversions
    start; scales are then those of its own codes, drawn from the prior.

    Args:
        generator: G.
        images: `[N, C, H, W]` in [0, 1], such as some training images.
        k: directions at most.
        seed: of codes that are drawn.
        inversion: how images are inverted.

    Raises:
        ModelError: images are of another size, or the generator gives values that are no finite numbers.
    """
    generator = generator.eval().requires_grad_(False)
    generator.check_images(images)
    directions, _ = find_directions(generator, k, seed=seed)
    with torch.no_grad():
        coded = generator.encode(images[:2])
    if coded is not None and len(images) > 1:
        edits = NaturalEdits(generator, directions, directions.new_ones(len(directions)), inversion=inversion)
        scales = code_scales(directions, edits.encode(images))
        return NaturalEdits(generator, directions, scales, inversion=inversion)
    drawn = generator.draw_codes(SampleRng.of(seed, "scales", [str(i) for i in range(PART)])).to(directions)
    origin = None if coded is not None else batch_shift(generator, images, inversion)
    return NaturalEdits(generator, directions, code_scales(directions, drawn), origin=origin, inversion=inversion)


def batch_shift(generator: LatentGenerator, images: Tensor, inversion: Inversion | None = None) -> Tensor:
    """The one code `[d]` that stands for all images best: the mean code and the shift that they have in common.

    Args:
        generator: G.
        images: `[N, C, H, W]` in [0, 1].
        inversion: how they are inverted.
    """
    given = Inversion() if inversion is None else inversion
    mean = images.float().mean(0, keepdim=True)  # of all squared errors to them only that to their mean depends on it
    only = given.model_copy(update={"shift": 0.0, "offset": 0.0, "steps": max(1, round(given.steps * given.shift))})
    return invert(generator, mean, only, start=generator.mean_code()).codes[0]
