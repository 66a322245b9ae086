"""Pictures of the experiment: visual factors made of test images, and cues in conflict."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.explain.biases.cue_sets import close_ups, filled_outlines, partners
from unshaken.stress.cues.contour import contour
from unshaken.stress.cues.scramble import scramble_inside
from unshaken.stress.cues.silhouette import foreground
from unshaken_papers.clip_holistic.nets import greyed, shrunk


def with_factor(images: Tensor, factor: str) -> Tensor:
    """Test images as one visual factor makes them.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        factor: one of `FACTORS`.
    """
    height, width = images.shape[2:]
    if factor == "darker":
        return images * 0.4
    if factor == "brighter":
        return 1 - (1 - images) * 0.4
    if factor == "smaller":
        return shrunk(images)
    if factor == "larger":
        part = images[:, :, height // 5 : height - height // 5, width // 5 : width - width // 5]
        return F.interpolate(part, (height, width), mode="bilinear", align_corners=False)
    if factor == "grey":
        return greyed(images)
    if factor == "shuffled":
        return scramble_inside(images, 4)
    if factor == "edges":
        return contour(images)
    found = images.clone()
    if factor == "blocked":
        found[:, :, height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 0.5
    else:  # a partial view
        found[:, :, :, width // 2 :] = images[:, :, :, : width - width // 2]
        found[:, :, :, : width // 2] = 0.5
    return found


def conflicting(batch: Batch, seed: int) -> tuple[Batch, Tensor]:
    """Outlines of images filled with the tiles of others, and the class of what fills each, int64 `[N]`.

    Raises:
        DataError: the images have no labels.
    """
    if batch.labels is None:
        raise DataError("cues are put in conflict by the class of each image, and there is none")
    place = torch.from_numpy(partners(batch.labels.numpy(), seed))
    texture = batch.images[place]
    filled = filled_outlines(foreground(batch.images), close_ups(texture, foreground(texture)))
    return batch.with_images(filled), batch.labels[place]
