"""RIGID: generated images move more in feature space under a slight change than photos do."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import INPUT
from unshaken.core.oracle import required
from unshaken.core.pixels import jpeg_compression
from unshaken.core.query import Features
from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass, pool
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur

Perturbation = Literal["noise", "blur", "sharpen", "jpeg"]
SOFT = 1.0
"""Deviation in pixels of the blur that sharpening takes away."""


def feature_shift(clean: Tensor, moved: Tensor) -> Tensor:
    """How far features turn: `1 - cos(f, f')`, as `|u - v|^2 / 2` of the unit vectors u, v.

    In this form it is 0 for equal features and keeps its digits next to 0, in float64; `1 - u v` does neither.

    Args:
        clean: f(x), `[N, d]`.
        moved: f(x'), `[N, d]`.

    Returns:
        float64 `[N]` in [0, 2].

    >>> round(1 - feature_shift(torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 4.0]])).item(), 6)
    0.989949
    """
    u, v = (F.normalize(f.double()) for f in (clean, moved))
    return (u - v).square().sum(1) / 2


def sharpened(images: Tensor, amount: float) -> Tensor:
    """Unsharp masking, `x + a (x - blur(x))`, of images `[N, C, H, W]`."""
    return images + amount * (images - gaussian_blur(images, SOFT))


@register("rigid", reference="He et al. 2024, arXiv:2405.20112", needs=("features",))
class RIGID(Detector):
    """RIGID: how much the features of an image change under slight noise; detects generated images.

    Nothing is learned. The paper's backbone is a self-supervised one (DINOv2), its noise 0.05 in units of ImageNet's
    deviations, which is 0.0113 in pixels, its copies 1. `perturbation=noise+blur` is the variant MINDER.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features"})

    perturbation: tuple[Perturbation, ...] = Field(
        default=("noise",),
        description="perturbation: noise, blur, sharpen or jpeg; of several, e.g. noise+blur, the largest score counts",
    )
    sigma: NonNegativeFloat = Field(default=0.0113, description="deviation of the noise, in `units`; 0 changes nothing")
    units: Literal["pixel", "normalised"] = Field(
        default="pixel", description="units of sigma: [0, 1] pixels, or the model's normalised pixels"
    )
    copies: PositiveInt = Field(default=3, description="noisy copies, whose scores are averaged; 1 in the paper")
    blur: NonNegativeFloat = Field(default=0.55, description="deviation of the blur, in pixels")
    amount: NonNegativeFloat = Field(default=0.5, description="strength of the sharpening (unsharp masking)")
    quality: int = Field(default=90, description="JPEG quality, 1 to 100", ge=1, le=100)
    layer: str = Field(
        default="", description="name of the layer whose values are compared; empty for what the head weighs"
    )

    @field_validator("perturbation")
    @classmethod
    def _once(cls, kinds: tuple[Perturbation, ...]) -> tuple[Perturbation, ...]:
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError("name one kind of change or more, each once, such as noise+blur")
        return kinds

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        return (self.layer or anatomy.penultimate,)

    @override
    def fit(self, fit_data: FitData) -> QueryGenerator[Bank]:
        if self.units == "pixel":
            return {}
        black = torch.zeros_like(fit_data.held_out.pixels[:1])
        inside = (yield Features(torch.cat([black, black + 1]), (INPUT,))).features or {}
        span = inside[INPUT].double().diff(dim=0)  # 1 / std at each pixel
        return {"std": 1 / span.mean((0, 2, 3))}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        (layer,) = self.layers(forward.anatomy)
        sigma: float | Tensor = self.sigma
        if self.units == "normalised":
            sigma = self.sigma * bank["std"].to(forward.pixels).view(-1, 1, 1)
        scores = []
        for kind in self.perturbation:
            total = torch.zeros(len(forward), dtype=torch.float64, device=forward.pixels.device)
            copies = self.copies if kind == "noise" else 1
            for draw in range(copies):
                # The layers of the shared pass, so that both passes take the same way through the model.
                answer = yield Features(self.changed(forward, kind, sigma, draw), tuple(forward.features))
                moved = pool(required((answer.features or {}).get(layer)), layer)
                total = total + feature_shift(forward.pooled(layer), moved)
            scores.append(total / copies)
        return torch.stack(scores).amax(0)

    def changed(self, forward: ForwardPass, kind: Perturbation, sigma: float | Tensor, draw: int) -> Tensor:
        """The images x' of one kind of change, not clipped; noise hangs on sample and draw alone."""
        if kind == "noise":
            noise = forward.streams.fold("rigid").fold(draw).normal(*forward.pixels.shape[1:])
            return forward.pixels + sigma * noise.to(forward.pixels)
        if kind == "blur":
            return gaussian_blur(forward.pixels, self.blur) if self.blur else forward.pixels
        if kind == "sharpen":
            return sharpened(forward.pixels, self.amount)
        return jpeg_compression(forward.pixels, self.quality)
