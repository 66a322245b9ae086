"""Box head on a segmentation: SeaBird's picture of the map, and a net of the two stages."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.models.networks.small import conv_bn


def occupancy(logits: Tensor) -> Tensor:
    """`o = max_c (c + 1) sigmoid(logit_c)`, `[N, 1, H, W]`, of the maps of C classes without a background."""
    kinds = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype).view(1, -1, 1, 1)
    return (kinds * logits.sigmoid()).amax(1, keepdim=True)


def bev_picture(
    logits: Tensor, features: Tensor | None = None, *, appearance: Literal["bev", "none"] = "bev"
) -> Tensor:
    """The picture that the box head of the single-camera system sees, `[N, 3, H, W]`: `[o, o, f]`.

    Args:
        logits: maps of C classes, `[N, C, H, W]`.
        features: in bird's-eye view, `[N, D, h, w]`; f is their maximum over channels, resized to the map.
        appearance: `none` for o three times.

    Raises:
        ParameterError: features are needed and absent.
    """
    o = occupancy(logits)
    if appearance == "none":
        return o.expand(-1, 3, -1, -1)
    if features is None:
        raise ParameterError("appearance='bev' needs the features; use appearance='none' for the map alone")
    f = F.interpolate(features.amax(1, keepdim=True), o.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([o, o, f], 1)


def with_map(features: Tensor, logits: Tensor) -> Tensor:
    """Features of the multi-camera system: the map, resized, in the place of their last channel.

    Args:
        features: `[N, D, h, w]`.
        logits: maps of C classes, `[N, C, H, W]`.
    """
    o = F.interpolate(occupancy(logits), features.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([features[:, :-1], o], 1)


class TwoStage(nn.Module):
    """A segmenter, and a head that reads depth from its map and its features.

    Args:
        segmenter: gives logits `[N, 2, H, W]` of background and object; its weights are those of the first stage.
        width: channels of the head.
        appearance: see `bev_picture`; the features are the images themselves.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, segmenter: nn.Module, width: int = 16, *, appearance: Literal["bev", "none"] = "bev") -> None:
        super().__init__()
        self.segmenter, self.appearance = segmenter, appearance
        self.head = nn.Sequential(conv_bn(3, width), conv_bn(width, width), nn.Conv2d(width, 2, 1))

    @override
    def forward(self, images: Tensor) -> Tensor:
        maps = self.segmenter(images)
        picture = bev_picture(maps[:, 1:] - maps[:, :1], images, appearance=self.appearance)
        logits: Tensor = self.head(picture)
        return logits
