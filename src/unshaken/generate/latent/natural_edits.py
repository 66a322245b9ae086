"""`NaturalEdits`: images moved along directions of a generator's code, and which directions keep an image's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from unshaken.core.boxes import boxed
from unshaken.core.device import widen
from unshaken.core.errors import DataError
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


MOST_CHANGED = 0.1
"""Share of images whose class an edit along a direction may change, for the direction to be kept."""
PLACES = (-1.0, -0.5, 0.5, 1.0)
"""Amounts at which statistics are read, as shares of the amplitude."""


@torch.no_grad()
def changed_shares(
    edits: NaturalEdits, classify: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, amplitude: float
) -> Tensor:
    """Share of correctly classified images whose class changes at one end or the other of each direction, `[k]`.

    Args:
        edits: the directions.
        classify: a reference classifier that is not trained or attacked by these edits: images to classes, int64 `[N]`.
        images: `[N, C, H, W]` in [0, 1], apart from those that it learned.
        labels: int64 `[N]`.
        amplitude: the ends, in deviations of the training codes.

    Raises:
        DataError: all images are of one class, or none is classified correctly.
    """
    if len(torch.unique(labels)) < 2:
        raise DataError("all images are of one class: whether an edit keeps the class shows on two classes or more")
    right = classify(images) == labels
    if not bool(right.any()):
        raise DataError("the reference classifier is right on none of the images: use one that knows these classes")
    shown, wanted = images[right], labels[right]
    codes = edits.encode(shown)
    base = edits.rebuild(codes)
    shares = []
    for j in range(edits.count):
        changed = torch.zeros(len(shown), dtype=torch.bool, device=shown.device)
        for end in (-amplitude, amplitude):
            changed |= classify(edits.edit(shown, codes, _along(edits, j, end, len(shown)), base)) != wanted
        shares.append(widen(changed).mean())
    return torch.stack(shares).float()


def brightness(images: Tensor) -> Tensor:
    """Mean of all pixels, `[N]`."""
    return images.flatten(1).mean(1)


def contrast(images: Tensor) -> Tensor:
    """Deviation of all pixels, `[N]`."""
    return images.flatten(1).std(1)


def area(images: Tensor) -> Tensor:
    """Share of pixels above one half, `[N]`."""
    return (images > 0.5).float().flatten(1).mean(1)


def sharpness(images: Tensor) -> Tensor:
    """Mean size of the difference of neighbouring pixels, `[N]`."""
    down, right = images.diff(dim=2).abs(), images.diff(dim=3).abs()
    return down.flatten(1).mean(1) + right.flatten(1).mean(1)


def extent(images: Tensor) -> Tensor:
    """Root mean squared distance of brightness from its centre, as a share of the side, `[N]`."""
    return (_moment(images, "yy") + _moment(images, "xx")).clamp(min=0).sqrt()


def slant(images: Tensor) -> Tensor:
    """Covariance of row and column under brightness, in squares of the side, `[N]`."""
    return _moment(images, "xy")


STATISTICS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "brightness": brightness, "contrast": contrast, "area": area, "sharpness": sharpness, "extent": extent,
    "slant": slant,
}  # fmt: skip


@torch.no_grad()
def statistic_correlations(edits: NaturalEdits, images: Tensor, amplitude: float) -> dict[str, Tensor]:
    """Correlation of the amount of each direction with the change of each statistic, `[k]` by statistic.

    A direction whose correlation is near 1 or -1 is that statistic; robustness to a shift of the statistic is then
    what was trained.

    Args:
        edits: the directions.
        images: `[N, C, H, W]` in [0, 1].
        amplitude: largest amount, in deviations of the training codes.
    """
    codes = edits.encode(images)
    base = edits.rebuild(codes)
    before = {name: read(images) for name, read in STATISTICS.items()}
    found: dict[str, list[Tensor]] = {name: [] for name in STATISTICS}
    for j in range(edits.count):
        changes: dict[str, list[Tensor]] = {name: [] for name in STATISTICS}
        for place in PLACES:
            edited = edits.edit(images, codes, _along(edits, j, place * amplitude, len(images)), base)
            for name, read in STATISTICS.items():
                changes[name].append(read(edited) - before[name])
        amounts = torch.tensor(PLACES, device=images.device).repeat_interleave(len(images))
        for name, parts in changes.items():
            found[name].append(_correlation(amounts, torch.cat(parts)))
    return {name: torch.stack(values) for name, values in found.items()}


def _along(edits: NaturalEdits, j: int, amount: float, n: int) -> Tensor:
    amounts = torch.zeros(n, edits.count, device=edits.scales.device)
    amounts[:, j] = amount
    return amounts


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's; 0 where a side does not vary."""
    a, b = widen(one) - widen(one).mean(), widen(other) - widen(other).mean()
    size = (a.square().sum() * b.square().sum()).sqrt()
    return torch.where(size > 0, (a * b).sum() / size.clamp(min=1e-30), 0.0).float()


def _moment(images: Tensor, axes: str) -> Tensor:
    """A central moment of second order of brightness over places, in units of the side."""
    light = images.mean(1)
    light = light / light.sum((1, 2), keepdim=True).clamp(min=1e-12)
    height, width = light.shape[1:]
    y = torch.arange(height, device=images.device)[:, None] / height
    x = torch.arange(width, device=images.device)[None] / width
    centred = {name: place - (light * place).sum((1, 2), keepdim=True) for name, place in {"y": y, "x": x}.items()}
    return (light * centred[axes[0]] * centred[axes[1]]).sum((1, 2))
