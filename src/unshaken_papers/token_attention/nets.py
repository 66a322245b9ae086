"""A plain transformer with as many weights as one with pooling has."""

from __future__ import annotations

from typing import ClassVar

from unshaken.models.networks.small_vit import SmallViT


class WiderViT(SmallViT):
    """The small vision transformer at width 68: 159,606 parameters at `[3, 32, 32]`, where pooling makes 151,850."""

    width: ClassVar[int] = 68
