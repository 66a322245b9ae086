"""PixMix: images mixed, by sums and products, with pictures of rich structure and with their own augmentations."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.data import load_data, stream, subset
from unshaken.harden.engine.recipe import Recipe, Setup, Step
from unshaken.harden.recipes.augmentation._fractals import drawn_pictures
from unshaken.harden.recipes.augmentation._operations import APART, OPERATIONS, operate, to_levels
from unshaken.harden.recipes.augmentation.augmix import LEAST
from unshaken.stress.engine.hsv import luma

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
    """What PixMix draws for N images and up to R = k rounds.

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

    beta: PositiveFloat = Field(3.0, description="the larger, the less is mixed in (ImageNet: 4)")
    k: NonNegativeInt = Field(4, description="most rounds of mixing")
    severity: float = Field(3.0, description="largest level of an operation, of 10 (ImageNet: 1)", ge=LEAST, le=10)
    all_ops: bool = Field(True, description="also colour, contrast, brightness, sharpness: near the test corruptions")
    pictures: str | None = Field(None, description="folder with pictures to mix in; without it fractals are drawn")
    count: PositiveInt = Field(256, description="pictures drawn, or read from the folder")

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
