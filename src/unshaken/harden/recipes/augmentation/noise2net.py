"""Noise2Net: images passed through image-to-image networks of random weights, one network an image."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Setup, Step

BLOCKS, SCALES = 4, 4
"""Residual blocks of a network, and groups of hidden channels in each; the last group passes unchanged."""
KERNELS, DILATIONS = (1, 3), (1, 2, 3)
"""What a group's convolution is drawn from."""


class Block(NamedTuple):
    """Weights of one block for N images, hidden width w.

    Args:
        enter: 1 x 1, `[N, 4 w, C]`.
        middle: of the first three groups, each `[N, w, w, k, k]` with k 1 or 3.
        leave: 1 x 1, `[N, C, 4 w]`.
        dilation: of each group's convolution.
    """

    enter: Tensor
    middle: list[Tensor]
    leave: Tensor
    dilation: list[int]


def multi_scale(images: Tensor, block: Block) -> Tensor:
    """A multi-scale block: group i sees its own channels and the output of group i - 1.

    A normalisation follows each convolution: every channel of every image to mean 0 and variance 1. Biases would
    change nothing.

    Args:
        images: `[N, C, H, W]`.
        block: weights, different for each image.

    Returns:
        The same shape, mean 0 and variance 1.
    """
    n, channels, height, width = images.shape
    entered = F.relu(F.instance_norm(torch.bmm(block.enter, images.flatten(2)).view(n, -1, height, width)))
    groups = list(entered.chunk(SCALES, 1))
    carried = torch.zeros_like(groups[0])
    for i, (weight, dilation) in enumerate(zip(block.middle, block.dilation, strict=True)):
        carried = F.relu(F.instance_norm(_own_convolution(carried + groups[i], weight, dilation)))
        groups[i] = carried
    left = torch.bmm(block.leave, torch.cat(groups, 1).flatten(2))
    return F.instance_norm(left.view(n, channels, height, width))


def noise2net(images: Tensor, blocks: list[Block], strength: Tensor, deviation: Tensor) -> Tensor:
    """`x <- x + e s block(x)` for each block, s being the deviation that one normalised unit is; clipped to [0, 1].

    Args:
        images: `[N, C, H, W]` in [0, 1].
        blocks: in their order.
        strength: e, `[N]`.
        deviation: s of each channel, `[C]`.

    Returns:
        The same shape.
    """
    scale = strength.view(-1, 1, 1, 1) * deviation.view(1, -1, 1, 1)
    for block in blocks:
        images = images + scale * multi_scale(images / deviation.view(1, -1, 1, 1), block)
    return images.clamp(0, 1)


@register("noise2net", reference="Hendrycks et al. 2021, arXiv:2006.16241")
class Noise2Net(Recipe):
    """Noise2Net: augments images by passing them through small networks with random weights.

    The networks' kernels and dilations are drawn once a run, their weights anew for each image and epoch. An image is
    chosen by a draw of its own, so it is half of a batch in the mean.
    """

    share: float = Field(default=0.5, description="probability that an image is changed", gt=0, le=1)
    least: PositiveFloat = Field(default=0.375, description="smallest strength e of a block, in normalised units")
    most: PositiveFloat = Field(default=0.75, description="largest strength e of a block, in normalised units")
    hidden: PositiveInt = Field(default=16, description="channels of each of the four groups inside a block")

    @model_validator(mode="after")
    def _fits(self) -> Noise2Net:
        if self.least > self.most:
            raise ValueError(f"least={self.least} is above most={self.most}")
        return self

    @override
    def begin(self, setup: Setup) -> None:
        one = SampleRng.of(setup.seed, self.info.name, ["structure"])
        kernel = one.fold("kernel").integers(0, len(KERNELS), BLOCKS, SCALES - 1)[0]
        dilation = one.fold("dilation").integers(0, len(DILATIONS), BLOCKS, SCALES - 1)[0]
        setup.memory["structure"] = torch.stack([torch.tensor(KERNELS)[kernel], torch.tensor(DILATIONS)[dilation]])

    def weights(self, rng: SampleRng, channels: int, structure: Tensor) -> list[Block]:
        """Each image's own weights, uniform within `1 / sqrt(inputs)` as torch starts a convolution.

        Args:
            rng: streams of N samples.
            channels: C of the images.
            structure: kernels and dilations, int64 `[2, 4, 3]`.
        """
        width, blocks = self.hidden, []
        kernels, dilations = structure.tolist()
        for j in range(BLOCKS):
            own = rng.fold(j)

            def drawn(name: str, inputs: int, *shape: int, own: SampleRng = own) -> Tensor:
                bound = 1 / math.sqrt(inputs)
                return own.fold(name).uniform(*shape, low=-bound, high=bound)

            blocks.append(
                Block(
                    enter=drawn("enter", channels, SCALES * width, channels),
                    middle=[drawn(f"middle{i}", width * k * k, width, width, k, k) for i, k in enumerate(kernels[j])],
                    leave=drawn("leave", SCALES * width, channels, SCALES * width),
                    dilation=dilations[j],
                )
            )
        return blocks

    @torch.no_grad()
    @override
    def augment(self, step: Step) -> None:
        rng = step.rng.fold(self.info.name).to(step.images.device)
        chance, level = rng.fresh(2).unbind(1)
        rows = (chance < self.share).nonzero().flatten()
        if not len(rows):
            return
        std, channels = step.classifier.std, step.images.shape[1]
        deviation = step.images.new_ones(channels) if std is None else std.to(step.images).flatten().expand(channels)
        blocks = self.weights(rng[rows], channels, step.memory[self.info.name]["structure"])
        strength = self.least + level[rows] * (self.most - self.least)
        changed = noise2net(step.images[rows].contiguous(), blocks, strength, deviation)
        step.images = step.images.index_copy(0, rows, changed.to(step.images))


def _own_convolution(images: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Each image `[N, w, H, W]` convolved with a kernel of its own `[N, w, w, k, k]`, at its own size."""
    n, width, _, kernel, _ = weight.shape
    joined = F.conv2d(
        images.reshape(1, n * width, *images.shape[2:]),
        weight.flatten(0, 1),
        padding=dilation * (kernel // 2),
        dilation=dilation,
        groups=n,
    )
    return joined.view_as(images)
