"""Multi-resolution input: a network sees noisy, jittered copies of an image at several resolutions at once."""

from __future__ import annotations

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.boxes import boxed
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.harden.engine.defence import Defence, Draws, GuardedModel, stand_in, uniform
from unshaken.harden.engine.layers import channels_of


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Bicubic, without antialiasing; the same size is left as it is."""
    if images.shape[2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bicubic", align_corners=False)


def rolled(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each image rolled by its own whole number of pixels; what leaves on one side comes in on the other.

    Args:
        images: `[B, C, H, W]`.
        down: int64 `[B]`.
        right: int64 `[B]`.
    """
    height, width = images.shape[2:]
    device = images.device
    rows = (torch.arange(height, device=device) - down[:, None]) % height
    columns = (torch.arange(width, device=device) - right[:, None]) % width
    each = torch.arange(len(images), device=device)[:, None, None]
    return images.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@register("multi-resolution", reference="Fort & Lakshminarayanan 2024, arXiv:2408.05446")
class MultiResolution(Defence):
    """Multi-resolution input: stacks noisy copies of the image at several resolutions as channels.

    The network must take `C R` channels and be trained behind the front end: `widened` makes one from any network,
    `wrap` puts the front end before it, and what comes out is trained by any recipe. Attacks must average passes.
    """

    resolutions: tuple[PositiveInt, ...] = Field(
        default=(32, 16, 8, 4), description="sides of the copies in pixels", min_length=1
    )
    contrast: tuple[float, float] = Field(
        default=(0.7, 1.5), description="range of the contrast about each image's mean"
    )
    colour: tuple[float, float] = Field(
        default=(0.5, 1.0), description="range of the share of colour, the rest being grey"
    )
    linked: bool = Field(default=False, description="use the share of colour as the contrast too")
    shift: NonNegativeInt = Field(default=3, description="largest roll each way, in pixels")
    noise: NonNegativeFloat = Field(
        default=0.2, description="size of the noise before and after upscaling, in [0, 1] pixel units"
    )
    kind: Literal["gaussian", "uniform01"] = Field(
        default="gaussian", description="noise: N(0, 1), or uniform in [0, 1)"
    )
    side: PositiveInt | None = Field(default=None, description="pixels a side of the stack, if resized for the network")
    seed: NonNegativeInt = Field(default=0, description="random seed of all random numbers")
    frozen: bool = Field(default=False, description="draw the same numbers at every pass")

    @field_validator("contrast", "colour")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1]:
            raise ValueError("give a range (low, high) with 0 <= low <= high")
        return value

    @property
    @override
    def random(self) -> bool:
        return not self.frozen and self != self.still().model_copy(update={"seed": self.seed})

    def still(self) -> MultiResolution:
        """The same copies without any jitter or noise."""
        calm = {"contrast": (1.0, 1.0), "colour": (1.0, 1.0), "linked": False, "shift": 0, "noise": 0.0}
        return self.model_copy(update=calm | {"kind": self.kind})

    def stack(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images `[B, C, H, W]` in [0, 1] to their copies `[B, C R, H, W]` in [0, 1], ordered by resolution.

        Args:
            images: of one size.
            generator: of all that is drawn, on the CPU.
        """
        found = torch.cat([self._copy(images, side, generator) for side in self.resolutions], 1)
        return found if self.side is None else resized(found, self.side, self.side)

    def _copy(self, images: Tensor, side: int, generator: torch.Generator) -> Tensor:
        n, _, height, width = images.shape
        amount = uniform(generator, images, n, 1, 1, 1, low=self.colour[0], high=self.colour[1])
        other = uniform(generator, images, n, 1, 1, 1, low=self.contrast[0], high=self.contrast[1])
        contrast = amount if self.linked else other
        mean = images.mean((1, 2, 3), keepdim=True)
        x = mean + contrast * (images - mean)
        if self.shift:
            moves = torch.randint(-self.shift, self.shift + 1, (2, n), generator=generator).to(images.device)
            x = rolled(x, moves[0], moves[1])
        x = torch.lerp(x.mean(1, keepdim=True).expand_as(x), x, amount.expand_as(x))
        share = (side / height, side / width) if height == width else (side / max(height, width),) * 2
        low = resized(x, max(1, round(height * share[0])), max(1, round(width * share[1])))
        high = resized(low + self._noise(low, generator), height, width)
        return boxed(high + self._noise(high, generator))

    def _noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        if not self.noise:
            return torch.zeros_like(like)
        draw = torch.randn if self.kind == "gaussian" else torch.rand
        return self.noise * draw(like.shape, generator=generator).to(like)

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        needed, copies = channels_of(model.net), len(self.resolutions)
        if needed % copies:
            raise ModelError(
                f"multi-resolution: model {model.name!r} takes {needed} channels, which {copies} copies do not make: "
                f"train widened(model, {copies}) behind the front end"
            )
        if model.mean is not None and len(model.mean) * copies != needed:
            raise ModelError(
                f"multi-resolution: model {model.name!r} takes {needed} channels, and {copies} copies of "
                f"{len(model.mean)} make {len(model.mean) * copies}: train widened(model, {copies}) behind it"
            )
        bare = stand_in(FrontEnd(self.still(), model), model, model.name)
        return GuardedModel(FrontEnd(self, model), model, name="multi-resolution", random=self.random, bare=bare)


class FrontEnd(nn.Module):
    """A network behind the stack.

    Args:
        rule: the parameters of the stack.
        model: its net takes the stack; its mean and deviation are those of a single copy.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, rule: MultiResolution, model: Classifier) -> None:
        super().__init__()
        self.rule, self.net = rule, model.net
        self.draws = Draws(rule.seed, frozen=rule.frozen)
        copies = len(rule.resolutions)
        for name, value in (("mean", model.mean), ("std", model.std)):
            self.register_buffer(name, None if value is None else value.repeat(copies, 1, 1), persistent=False)

    @override
    def extra_repr(self) -> str:
        return repr(self.rule)

    @property
    def count(self) -> int:
        """Number of predictors of the network."""
        return int(getattr(self.net, "count", 1))

    def _stack(self, images: Tensor) -> Tensor:
        stack = self.rule.stack(images, self.draws.next())
        return stack if self.mean is None or self.std is None else (stack - self.mean) / self.std

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(self._stack(images))
        return logits

    def predictors(self, images: Tensor) -> Tensor:
        """Logits `[B, N, K]` of a network with several predictors, all of which see the same draws."""
        logits: Tensor = self.net.predictors(self._stack(images))  # type: ignore[operator]
        return logits


def widened(model: Classifier, copies: int) -> Classifier:
    """A copy of a model whose first convolution takes `copies` images stacked, each with the old weights' share.

    Shown the same image in all copies, it answers as before.

    Args:
        model: left as it is.
        copies: R.

    Raises:
        ModelError: there is no convolution, or its channels are grouped.
    """
    other = copy.deepcopy(model)
    name, first = next(((n, m) for n, m in other.net.named_modules() if isinstance(m, nn.Conv2d)), ("", None))
    if first is None or not name or first.groups != 1:
        raise ModelError(f"model {model.name!r} has no plain first convolution to widen: build it for more channels")
    wide = nn.Conv2d(
        first.in_channels * copies, first.out_channels, first.kernel_size, first.stride, first.padding, first.dilation,  # type: ignore[arg-type]
        1, first.bias is not None, first.padding_mode, device=first.weight.device, dtype=first.weight.dtype,
    )  # fmt: skip
    with torch.no_grad():
        wide.weight.copy_(first.weight.repeat(1, copies, 1, 1) / copies)
        if first.bias is not None and wide.bias is not None:
            wide.bias.copy_(first.bias)
    other.net.set_submodule(name, wide)
    return other
