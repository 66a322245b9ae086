"""Input transformation: change the image before the model sees it, in the hope that a perturbation does not survive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, field_validator
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.pixels import jpeg_compression
from unshaken.core.registry import register
from unshaken.harden.engine.defence import Defence, Draws, GuardedModel, stand_in


def bit_depth(images: Tensor, bits: int) -> Tensor:
    """Rounded to `2^bits` levels, `round((2^b - 1) x) / (2^b - 1)`.

    Args:
        images: `[B, C, H, W]` in [0, 1].
        bits: 1 to 8.

    >>> bit_depth(torch.tensor([0.2, 0.6]), 1).tolist()
    [0.0, 1.0]
    """
    levels = 2**bits - 1
    rounded: Tensor = (images * levels).round() / levels
    return rounded


def median_smoothing(images: Tensor, window: int) -> Tensor:
    """The median over a square window, borders reflected.

    Args:
        images: `[B, C, H, W]`.
        window: odd side in pixels.
    """
    reach = window // 2
    padded = F.pad(images, (reach,) * 4, mode="reflect")
    return padded.unfold(2, window, 1).unfold(3, window, 1).flatten(4).median(4).values


def gaussian_smoothing(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur cut at 3 deviations, borders reflected.

    Args:
        images: `[B, C, H, W]`.
        sigma: standard deviation in pixels.
    """
    reach = min(max(1, round(3 * sigma)), images.shape[2] - 1, images.shape[3] - 1)
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    channels = images.shape[1]
    kernel = weights.expand(channels, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="reflect")
    across = F.conv2d(padded, kernel[:, :, None], groups=channels)
    return F.conv2d(across, kernel[:, :, :, None], groups=channels)


def resize_pad(images: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """Shrunk to a random share of its side and put at a random place on black; the size stays.

    Args:
        images: `[B, C, H, W]`; all get the same draw.
        least: smallest share, in (0, 1].
        generator: on the CPU.
    """
    height, width = images.shape[2:]
    share, down, right = torch.rand(3, generator=generator).tolist()
    share = least + (1 - least) * share
    size = max(1, round(share * height)), max(1, round(share * width))
    small = F.interpolate(images, size, mode="bilinear", align_corners=False)
    top, left = (int(u * (whole - part + 1)) for u, whole, part in ((down, height, size[0]), (right, width, size[1])))
    return F.pad(small, (left, width - size[1] - left, top, height - size[0] - top))


def standardise(images: Tensor, deviation: float) -> Tensor:
    """Each channel of each image brought to mean 1/2 and a deviation, clipped to [0, 1]; a flat channel turns grey.

    Args:
        images: `[B, C, H, W]`.
        deviation: of the pixels of a channel, above 0.

    >>> standardise(torch.tensor([[[[0.0, 0.1]]]]), 0.25)
    tensor([[[[0.2500, 0.7500]]]])
    """
    centred = images - images.mean((2, 3), keepdim=True)
    spread = centred.square().mean((2, 3), keepdim=True).clamp(min=1e-10).sqrt()
    return (0.5 + deviation * centred / spread).clamp(0, 1)


@register("input-transform", reference="Guo et al. 2018, arXiv:1711.00117; Xu et al. 2018, arXiv:1704.01155")
class InputTransform(Defence):
    """Compress, coarsen, smooth, standardise, or resize and pad the image before the model sees it.

    JPEG and rounding have no useful gradient of their own. By default the guard lets the gradient through them as if
    they were not there (BPDA, Athalye et al. 2018): then an attack through the guard is an honest one.
    """

    kind: Literal["jpeg", "bits", "median", "gaussian", "standardise", "resize-pad"] = Field(
        default="jpeg", description="transformation to apply"
    )
    quality: int = Field(default=75, description="JPEG quality, 1 (worst) to 95", ge=1, le=95)
    bits: int = Field(default=4, description="levels of bits are 2 to this power", ge=1, le=8)
    window: int = Field(default=3, description="odd side of the median's window in pixels", ge=3, le=15)
    sigma: PositiveFloat = Field(default=1.0, description="deviation of the gaussian in pixels")
    deviation: float = Field(
        default=0.25, description="deviation of each channel's pixels after standardise", gt=0, le=1
    )
    least: float = Field(default=0.8, description="smallest share of the side in resize-pad", gt=0, le=1)
    straight_through: bool = Field(
        default=True, description="let gradients pass jpeg and bits as if they were not there"
    )
    seed: NonNegativeInt = Field(default=0, description="random seed of resize-pad")

    @field_validator("window")
    @classmethod
    def _odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError("a window has an odd side")
        return window

    @property
    @override
    def random(self) -> bool:
        return self.kind == "resize-pad"

    @property
    def shattered(self) -> bool:
        """Whether the transformation has no gradient of its own."""
        return self.kind in ("jpeg", "bits")

    def change(self, images: Tensor, generator: Callable[[], torch.Generator]) -> Tensor:
        """Apply the transformation to images.

        Args:
            images: `[B, C, H, W]` in [0, 1].
            generator: gives one for this pass.
        """
        if self.kind == "jpeg":
            return jpeg_compression(images.detach().float(), self.quality).to(images)
        if self.kind == "bits":
            return bit_depth(images, self.bits)
        if self.kind == "median":
            return median_smoothing(images, self.window)
        if self.kind == "gaussian":
            return gaussian_smoothing(images, self.sigma)
        if self.kind == "standardise":
            return standardise(images, self.deviation)
        return resize_pad(images, self.least, generator())

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        def surrogates() -> Mapping[str, Classifier]:
            if not self.shattered or self.straight_through:
                return {}
            honest = TransformingClassifier(self.model_copy(update={"straight_through": True}), model)
            return {"straight-through": stand_in(honest, model, "straight")}

        return GuardedModel(
            TransformingClassifier(self, model), model, name=self.kind, random=self.random, surrogates=surrogates
        )


class TransformingClassifier(nn.Module):
    """A model behind the transformation.

    Args:
        rule: the transformation.
        model: from images in [0, 1] to logits.
    """

    def __init__(self, rule: InputTransform, model: Classifier) -> None:
        super().__init__()
        self.rule, self.model, self.draws = rule, model, Draws(rule.seed)

    @override
    def forward(self, images: Tensor) -> Tensor:
        changed = self.rule.change(images, self.draws.next)
        if self.rule.shattered and self.rule.straight_through:
            changed = images + (changed - images).detach()
        logits: Tensor = self.model(changed)
        return logits
