"""PixMix: images mixed, by sums and products, with pictures of rich structure and with their own augmentations."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.data import load_data, stream, subset
from unshaken.harden.engine.recipe import Recipe, Setup, Step
from unshaken.harden.recipes.augmentation._operations import APART, OPERATIONS, operate, to_levels
from unshaken.harden.recipes.augmentation.augmix import LEAST
from unshaken.stress.corruptions.fog import plasma, plasma_size
from unshaken.stress.engine.filters import luma

MAPS = (2, 6)
"""Fewest and most affine maps of a fractal."""
BURN, ITERATIONS = 20, 100
"""Steps of the chaos game before points count, and steps that do."""
DENSE = 4
"""Points that fall on a pixel, in the mean."""
CHUNK = 2**21
"""Points that are moved at once."""


@lru_cache(maxsize=4)
def drawn_pictures(count: int, side: int, seed: int) -> Tensor:
    """Colourful pictures with structure at many scales, the same on every call; every fourth is a texture alone.

    Args:
        count: how many.
        side: height and width in pixels.
        seed: of the run.

    Returns:
        uint8 `[count, 3, side, side]`; not to be written to.
    """
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 0x6672616374616C], np.uint64)))
    pictures = textures(rng, count, side)
    points = max(64, DENSE * side * side // ITERATIONS)
    fractals = torch.arange(count)[torch.arange(count) % 4 != 3]
    for i, maps in enumerate(range(MAPS[0], MAPS[1] + 1)):
        for rows in torch.split(fractals[i :: MAPS[1] - MAPS[0] + 1], max(1, CHUNK // points)):
            layers = fractal_layers(rng, len(rows), maps, side, points)
            pictures[rows] = pictures[rows].lerp(layers[:, :3], layers[:, 3:].expand(-1, 3, -1, -1))
    return pictures.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def iterated_functions(rng: np.random.Generator, count: int, maps: int) -> NDArray[np.float64]:
    """Random systems of contracting affine maps `x -> A x + b`, whose attractors are neither dust nor a blot.

    A is a rotation, a scaling by singular values s1 >= s2 and a rotation, mirrored or not. The sum of `s1 + 2 s2` over
    the maps is drawn between `(5 + n) / 2` and `(6 + n) / 2`, the range that gives good pictures (Anderson & Farrell
    2022, arXiv:2110.03091).

    Args:
        rng: the source of the draws.
        count: how many systems.
        maps: n, maps of each.

    Returns:
        `[count, n, 2, 3]`: A and b side by side.
    """
    wanted = rng.uniform((5 + maps) / 2, (6 + maps) / 2, (count, 1, 1))
    values = np.sort(rng.uniform(0.1, 0.9, (count, maps, 2)), axis=2)[..., ::-1]
    for _ in range(8):  # towards the wanted sum, each value staying inside its bounds
        values = np.clip(values * (wanted / (values @ (1.0, 2.0)).sum(1)[:, None, None]), 0.1, 0.95)
    angles = [rng.uniform(0, 2 * math.pi, (count, maps)) for _ in range(2)]
    before, after = (
        np.stack([np.stack([np.cos(a), -np.sin(a)], -1), np.stack([np.sin(a), np.cos(a)], -1)], -2) for a in angles
    )
    flips = rng.choice((-1.0, 1.0), (count, maps, 2))
    linear = before @ (after * (values * flips)[..., None])
    return np.concatenate([linear, rng.uniform(-1, 1, (count, maps, 2, 1))], 3)


def fractal_layers(rng: np.random.Generator, count: int, maps: int, side: int, points: int) -> Tensor:
    """Attractors by the chaos game; a point takes half of the colour of each map that moves it.

    Args:
        rng: the source of the draws.
        count: how many.
        maps: affine maps of each.
        side: height and width in pixels.
        points: points moved together, each counted at every iteration.

    Returns:
        Float32 `[count, 4, side, side]` in [0, 1]: colour, and how much of what lies below is covered.
    """
    system, palette = iterated_functions(rng, count, maps), rng.uniform(0, 1, (count, maps, 3))
    area = np.abs(np.linalg.det(system[..., :2])) + 0.02
    chances = np.cumsum(area / area.sum(1, keepdims=True), 1)[:, None, :-1]
    place, colour = rng.uniform(-1, 1, (count, points, 2)), rng.uniform(0, 1, (count, points, 3))
    own = np.arange(count)[:, None]
    total = np.zeros((4, count * side * side))
    low = high = np.empty(0)
    for i in range(BURN + ITERATIONS):
        chosen = (rng.random((count, points, 1)) > chances).sum(2)
        matrix = system[own, chosen]
        place = (matrix[..., :2] * place[:, :, None, :]).sum(3) + matrix[..., 2]
        colour = (colour + palette[own, chosen]) / 2
        if i == BURN:
            low, high = np.quantile(place, (0.01, 0.99), axis=1)
            margin = 0.06 * (high - low) + 1e-6
            low, high = low - margin, high + margin
        if i >= BURN:
            cell = np.floor((place - low[:, None]) / (high - low)[:, None] * side).astype(np.int64)
            inside = ((cell >= 0) & (cell < side)).all(2)
            flat = ((own * side + cell[..., 1]) * side + cell[..., 0])[inside]
            total[3] += np.bincount(flat, minlength=total.shape[1])
            for c in range(3):
                total[c] += np.bincount(flat, colour[..., c][inside], minlength=total.shape[1])
    sums = torch.from_numpy(total).view(4, count, side, side).transpose(0, 1)
    counts = sums[:, 3:]
    tone = counts.log1p() / counts.log1p().amax((2, 3), keepdim=True).clamp(min=1e-9)  # on a logarithmic scale
    mean = sums[:, :3] / counts.clamp(min=1)
    return torch.cat([mean * tone.sqrt(), (2 * tone).clamp(max=1)], 1).float()


def textures(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """Smooth to rough fields in random colours: diamond-square plasma and noise of spectrum `1 / f^a`, in turn.

    Args:
        rng: the source of the draws.
        count: how many.
        side: height and width in pixels.

    Returns:
        Float32 `[count, 3, side, side]` in [0, 1].
    """
    size = plasma_size(side)
    fields = np.empty((count, 2, side, side), np.float32)
    for picture in fields:
        if rng.random() < 0.5:
            draws = torch.from_numpy(rng.uniform(-1, 1, (2, size * size - 1)).astype(np.float32))
            picture[:] = plasma(draws, size, float(rng.uniform(1.2, 2.5)))[:, :side, :side].numpy()
        else:
            picture[:] = _fourier(rng, side)
    two = torch.from_numpy(fields)
    ends = torch.from_numpy(rng.uniform(0, 1, (count, 3, 3, 1, 1)).astype(np.float32))
    first, second = two[:, :1], two[:, 1:]
    mixed = ends[:, 0] * (1 - first) + first * (ends[:, 1] * (1 - second) + ends[:, 2] * second)
    low, high = mixed.amin((1, 2, 3), keepdim=True), mixed.amax((1, 2, 3), keepdim=True)
    return (mixed - low) / (high - low)


def _fourier(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Two fields of random phases, narrow in direction or not: float32 `[2, side, side]`, each from 0 to 1."""
    down, right = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    radius = np.hypot(down, right)
    radius[0, 0] = 1
    angle = np.arctan2(down, right) - rng.uniform(0, math.pi)
    spectrum = radius ** -rng.uniform(0.8, 2.2) * (1 + rng.uniform(0, 12) * np.cos(angle) ** 8)
    spectrum[0, 0] = 0
    phases = np.exp(2j * math.pi * rng.random((2, *spectrum.shape)))
    fields: NDArray[np.float32] = np.fft.irfft2(spectrum * phases, (side, side)).astype(np.float32)
    low, high = fields.min((1, 2), keepdims=True), fields.max((1, 2), keepdims=True)
    fields = (fields - low) / (high - low)
    return fields


MARGIN = 9 / 8
"""Side of a mixing picture over the longer side of an image: room for a random cut."""
TINY = 1e-37
"""The least base of a negative power."""
OFF = 2.0**-25
"""Half the spacing of the uniform numbers, by which they are moved off 0."""


def mix_add(m: Tensor, other: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`(a (2m - 1) + b (2o - 1) + 1) / 2`, clipped to [0, 1].

    Args:
        m: `[N, C, H, W]` in [0, 1].
        other: o, as `m`.
        a: `[N]`.
        b: `[N]`.
    """
    a, b = a.view(-1, 1, 1, 1), b.view(-1, 1, 1, 1)
    return (a * m + b * other + (1 - a - b) / 2).clamp_(0, 1)


def mix_multiply(m: Tensor, other: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`(2m)^a (2o)^b / 2`, clipped to [0, 1]; arguments as in `mix_add`."""
    a, b = a.view(-1, 1, 1, 1), b.view(-1, 1, 1, 1)
    return ((2 * m).pow_(a) * (2 * other).clamp_(min=TINY).pow_(b)).div_(2).clamp_(0, 1)


def mix_weights(kind: Tensor, first: Tensor, second: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Weights (a, b): `(Beta(beta, 1), Beta(1, beta))` or `(1 + Beta(1, beta), -Beta(1, beta))`, as often.

    As beta grows they become (1, 0), which mixes nothing in.

    Args:
        kind: uniform on [0, 1); below one half is the first pair.
        first: uniform on (0, 1), gives a.
        second: as `first`, gives b.
        beta: above 0.

    >>> a, b = mix_weights(torch.tensor([0.0]), torch.tensor([0.5]), torch.tensor([0.5]), 1e9)
    >>> round(a.item(), 6), round(abs(b.item()), 6)
    (1.0, 0.0)
    """
    near, small = first.pow(1 / beta), 1 - first.pow(1 / beta)  # Beta(beta, 1) and Beta(1, beta) by their quantiles
    b = 1 - second.pow(1 / beta)
    return torch.where(kind < 0.5, near, 1 + small), torch.where(kind < 0.5, b, -b)


class Mixing(NamedTuple):
    """The draws of PixMix for N images and up to R = k rounds.

    Args:
        rounds: int64 `[N]`, 0 to R.
        augmented: bool `[N, 1 + R]`: whether the image starts augmented, and whether a round mixes in an augmented
            image rather than the picture.
        which: operations, int64 `[N, 1 + R]`.
        level: their levels, `[N, 1 + R]`.
        sign: 1 or -1, `[N, 1 + R]`.
        multiply: bool `[N, R]`: a product rather than a sum.
        a: `[N, R]`.
        b: `[N, R]`.
    """

    rounds: Tensor
    augmented: Tensor
    which: Tensor
    level: Tensor
    sign: Tensor
    multiply: Tensor
    a: Tensor
    b: Tensor


def pixmix(images: Tensor, pictures: Tensor, mixing: Mixing) -> Tensor:
    """Start from the image or an augmented one, and mix in, round by round, the picture or another augmented one.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        pictures: one for each image, the same shape.
        mixing: what was drawn.

    Returns:
        The same shape, in [0, 1].
    """
    needed = mixing.augmented & (
        torch.arange(mixing.augmented.shape[1], device=images.device) <= mixing.rounds[:, None]
    )
    rows, slots = needed.nonzero(as_tuple=True)
    at = torch.full(needed.shape, -1, device=images.device)
    at[rows, slots] = torch.arange(len(rows), device=images.device)
    drawn = (mixing.which[rows, slots], mixing.level[rows, slots], mixing.sign[rows, slots])
    augmented = operate(to_levels(images).index_select(0, rows), *drawn)

    def put(target: Tensor, members: Tensor, slot: int) -> Tensor:
        """Augmented images into the places of a tensor that drew one."""
        here = needed[members, slot]
        target[here] = augmented[at[members[here], slot]].float() / 255
        return target

    everyone = torch.arange(len(images), device=images.device)
    result = put(images.clone(), everyone, 0)
    for r in range(mixing.a.shape[1]):
        members = everyone[mixing.rounds > r]
        other = put(pictures[members], members, 1 + r)
        for product, mix in ((False, mix_add), (True, mix_multiply)):
            here = mixing.multiply[members, r] == product
            who = members[here]
            result[who] = mix(result[who], other[here], mixing.a[who, r], mixing.b[who, r])
    return result


@lru_cache(maxsize=4)
def folder_pictures(folder: str, count: int, side: int, seed: int) -> Tensor:
    """Pictures of a folder: uint8 `[n, 3, side, side]`, n at most `count`, drawn by a seed; the middle square of each.

    Raises:
        DataError: there is no such folder, or no picture in it that can be read.
    """
    data = load_data(f"folder:{folder}?size={side}&mode=RGB")
    found = [part.images for part in stream(data, subset(data, count, seed).tolist()) if isinstance(part, Batch)]
    if not found:
        raise DataError(f"pixmix: none of the pictures in {folder!r} can be read; give other pictures, or leave it out")
    return to_levels(torch.cat(found))


@register("pixmix", reference="Hendrycks et al. 2022, arXiv:2112.05135")
class PixMix(Recipe):
    """PixMix: trains on images mixed with fractals, in up to k rounds of sums and products.

    The mixing pictures are drawn by rule from the run seed, once a run; `pictures` names a folder of your own instead.
    """

    beta: PositiveFloat = Field(default=3.0, description="the larger, the less is mixed in (ImageNet: 4)")
    k: NonNegativeInt = Field(default=4, description="most rounds of mixing")
    severity: float = Field(
        default=3.0, description="largest level of an operation, of 10 (ImageNet: 1)", ge=LEAST, le=10
    )
    all_ops: bool = Field(
        default=True, description="also colour, contrast, brightness, sharpness: near the test corruptions"
    )
    pictures: str | None = Field(
        default=None, description="folder with pictures to mix in; without it fractals are drawn"
    )
    count: PositiveInt = Field(default=256, description="pictures drawn, or read from the folder")

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return () if self.pictures is None else (self.pictures,)

    def mixing_set(self, side: int, seed: int) -> Tensor:
        """All pictures, uint8 `[n, 3, S, S]` with S an eighth above an image's longer side in pixels.

        Raises:
            DataError: no picture in the folder can be read.
        """
        larger = math.ceil(side * MARGIN)
        if self.pictures is None:
            return drawn_pictures(self.count, larger, seed)
        return folder_pictures(self.pictures, self.count, larger, seed)

    def draw(self, rng: SampleRng) -> Mixing:
        """Rounds, operations and weights of each sample.

        Args:
            rng: streams of N samples.
        """
        draws = rng.fresh(1 + 4 * (1 + self.k) + 4 * self.k)
        augmented, which, level, sign = draws[:, 1 : 5 + 4 * self.k].view(len(draws), 4, 1 + self.k).unbind(1)
        multiply, kind, first, second = draws[:, 5 + 4 * self.k :].view(len(draws), 4, self.k).unbind(1)
        a, b = mix_weights(kind, first + OFF, second + OFF, self.beta)
        return Mixing(
            rounds=(draws[:, 0] * (1 + self.k)).long(),
            augmented=augmented < 0.5,
            which=(which * (len(OPERATIONS) if self.all_ops else APART)).long(),
            level=LEAST + level * (self.severity - LEAST),
            sign=torch.where(sign < 0.5, -1.0, 1.0),
            multiply=multiply < 0.5,
            a=a,
            b=b,
        )

    def cut(self, rng: SampleRng, like: Tensor, seed: int) -> Tensor:
        """A random cut of a random picture for each sample.

        Args:
            rng: streams of N samples.
            like: images `[N, C, H, W]`, C 1 or 3.
            seed: of the run.

        Returns:
            The shape of `like`, in [0, 1].
        """
        channels, height, width = like.shape[1:]
        every = self.mixing_set(max(height, width), seed)
        which, down, right = rng.fresh(3).unbind(1)
        side = every.shape[2]
        rows = (down * (side - height + 1)).long()[:, None] + torch.arange(height, device=like.device)
        columns = (right * (side - width + 1)).long()[:, None] + torch.arange(width, device=like.device)
        source = (rows[:, :, None] * side + columns[:, None, :]).flatten(1)
        chosen = every[(which * len(every)).long().to(every.device)].to(like.device).flatten(2)
        found = chosen.gather(2, source[:, None].expand(-1, 3, -1)).view(-1, 3, height, width).float() / 255
        return luma(found) if channels == 1 else found

    @override
    def begin(self, setup: Setup) -> None:
        folder_pictures.cache_clear()  # of an earlier training: files may have changed since
        setup.memory["seed"] = torch.tensor(setup.seed)
        self.mixing_set(max(setup.images.shape[2:]), setup.seed)

    @override
    def augment(self, step: Step) -> None:
        rng = step.rng.fold(self.info.name).to(step.images.device)
        seed = int(step.memory[self.info.name]["seed"])
        pictures = self.cut(rng.fold("picture"), step.images, seed)
        step.images = pixmix(step.images.contiguous(), pictures, self.draw(rng))
