"""A background from another picture."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.data import BadSample, load_data, stream
from unshaken.data.textures import FAMILIES, make_plane
from unshaken.stress.engine.attribute_edit import REFERENCE, BackgroundEdit

MOST = 256
"""Pictures of a data set that are kept as backgrounds."""


@register("background-random", reference=REFERENCE, group="attributes")
class BackgroundRandom(BackgroundEdit):
    """Put the object on another picture, drawn at random from data of yours, or on a texture that is made for it."""

    pictures: str = Field(
        default="",
        description="data SPEC whose first 256 pictures serve as backgrounds; empty for textures that are made",
    )
    _pictures: Tensor | None = PrivateAttr(None)

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return (self.pictures,) if self.pictures else ()

    def with_backgrounds(self, pictures: Tensor) -> Self:
        """The same edit with backgrounds that are given, as a rule pictures without their objects.

        Args:
            pictures: float32 `[M, C, H, W]` in [0, 1].
        """
        return self._with("_pictures", pictures)

    @override
    def behind(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        height, width = images.shape[2:]
        if self._pictures is None and not self.pictures:
            textures = [draw_texture(generator, max(height, width)) for generator in rng.fold("texture").generators()]
            chosen = torch.stack(textures)[:, :, :height, :width].to(images)
        else:
            known = self._pictures
            if known is None:
                known = self.once((height, width), lambda: _read(self.pictures, height, width))
            if not len(known):
                raise DataError(f"{self.info.name}: there are no backgrounds: name data with pictures")
            chosen = known[rng.fold("picture").integers(0, len(known)).to(known.device)]
            chosen = chosen.to(images) / 255 if chosen.dtype == torch.uint8 else chosen.to(images)
        if chosen.shape[2:] != images.shape[2:]:
            chosen = F.interpolate(chosen, (height, width), mode="bilinear", antialias=True, align_corners=False)
        return chosen if chosen.shape[1] == images.shape[1] else chosen.mean(1, keepdim=True).expand_as(images)


def draw_texture(rng: np.random.Generator, side: int) -> Tensor:
    """A texture of two colours, float32 `[3, side, side]` in [0, 1].

    Args:
        rng: gives the family of the texture, its seed and the colours.
        side: in pixels, at least 8.
    """
    family = list(FAMILIES)[int(rng.integers(len(FAMILIES)))]
    plane = torch.from_numpy(make_plane(family, side, int(rng.integers(2**31))))
    one, other = torch.from_numpy(rng.random((2, 3, 1, 1), np.float32))
    return torch.lerp(one, other, plane)


def _read(spec: str, height: int, width: int) -> Tensor:
    """The first readable pictures of a data set, cut to a size: uint8 `[M, 3, H, W]`."""
    dataset = load_data(spec)
    parts = stream(dataset, range(min(MOST, len(dataset))), view=View(height, width), batch_size=64)
    levels = [p.images.mul(255).round().byte() for p in parts if not isinstance(p, BadSample)]
    return torch.cat([torch.empty(0, 3, height, width, dtype=torch.uint8), *levels])
