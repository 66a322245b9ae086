"""Two sources of one content for the experiment with moderation: photos, and the same photos stylised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.oracle import required
from unshaken.stress.corruptions.jpeg_compression import jpeg_compression
from unshaken.stress.corruptions.saturate import saturate
from unshaken_papers.unsafebench import AI, REAL, Style

COLOURS, EDGE = 6, 2.0
"""Levels of a colour channel, and how dark the edges of the style `poster` are."""


def poster(images: Tensor) -> Tensor:
    """Six levels a channel, with edges drawn over in black.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
    """
    flat = (images * (COLOURS - 1)).round() / (COLOURS - 1)
    gray = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across, down = gray[:, :, 1:-1, 2:] - gray[:, :, 1:-1, :-2], gray[:, :, 2:, 1:-1] - gray[:, :, :-2, 1:-1]
    return flat * (1 - EDGE * torch.hypot(across, down)).clamp(0, 1)


def painted(images: Tensor) -> Tensor:
    """The median of 5 x 5 pixels in each channel, and colours 1.8 times as strong.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
    """
    n, c, h, w = images.shape
    around = F.unfold(F.pad(images, (2, 2, 2, 2), mode="replicate"), 5).view(n, c, 25, h, w)
    return saturate(around.median(2).values, 1.8, 0.0)


@dataclass(frozen=True, slots=True)
class Moderated:
    """Images of both sources with the same content, row by row.

    Args:
        images: source to float32 `[N, C, H, W]` in [0, 1].
        labels: int64 `[N]`, classes.
        ids: one a content.
    """

    images: dict[str, Tensor]
    labels: Tensor
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> Moderated:
        """Some of the contents."""
        return Moderated({s: x[rows] for s, x in self.images.items()}, self.labels[rows], self.ids[rows])


def sources(batch: Batch, style: Style, side: int) -> Moderated:
    """Photos and their stylised copies, enlarged alike and then through a JPEG file alike.

    Args:
        batch: small photos with labels.
        style: of the copies.
        side: height and width in pixels to which photos are enlarged before they are stylised.
    """
    large = F.interpolate(batch.images, side, mode="bicubic", antialias=True).clamp(0, 1)
    made = {REAL: large, AI: {"poster": poster, "painted": painted}[style](large)}
    images = {source: jpeg_compression(x, 75) for source, x in made.items()}  # no source can be recognised by its file
    return Moderated(images, required(batch.labels), batch.ids)


def collected_for(labels: Tensor, flagged: Sequence[int], classes: int) -> Tensor:
    """The category that each image counts for: its own where it is flagged, else that of the safe class beside it.

    Safe classes are dealt to the categories in turn, so that each category has images of both kinds.

    Args:
        labels: int64 `[N]`.
        flagged: the class of each category.
        classes: K.

    Returns:
        int64 `[N]`, places in `flagged`.

    Raises:
        DataError: a category would have no safe images.
    """
    safe = [c for c in range(classes) if c not in flagged]
    if len(safe) < len(flagged) or max(flagged) >= classes:
        raise DataError(f"{len(flagged)} flagged classes of {classes} leave {len(safe)} safe ones: each needs one")
    place = torch.empty(classes, dtype=torch.int64)
    for k, c in enumerate(flagged):
        place[c] = k
    for k, c in enumerate(safe):
        place[c] = k % len(flagged)
    return place[labels]
