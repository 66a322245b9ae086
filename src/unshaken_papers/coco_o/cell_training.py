"""Training of a `CellDetector` on images, or maps of a network, in memory: its targets, its losses, its descent."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from unshaken.core.descent import descend
from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken_papers.coco_o.cell_detector import CellDetector, centres, corners

OVERLAP = 0.7
"""Intersection over union of a box and its shifted copy that the radius of a peak keeps."""
LEAST_SPREAD = 0.6
"""Smallest standard deviation of a peak, in cells."""
Augment = Callable[[Tensor, SampleRng], Tensor]


def peak_targets(boxes: Tensor, grid: tuple[int, int], pixels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Targets of a detector by peaks: a Gaussian around the cell of each object's centre, and the box at that cell.

    The deviation is a third of the radius within which a shifted box still overlaps by `OVERLAP`.

    Args:
        boxes: `[N, M, 5]` as (left, top, right, bottom, class) in pixels; class -1 for an empty row.
        grid: rows and columns of cells.
        pixels: of a cell.
        classes: K.

    Returns:
        Heat `[N, K, h, w]`, 1 at centres; and boxes `[N, h, w, 4]`, NaN where no centre is. A centre outside of the
        image counts at the nearest cell.

    Source: Zhou et al. 2019, arXiv:1904.07850.
    """
    n = len(boxes)
    heat = boxes.new_zeros(n, classes, *grid)
    found = boxes.new_full((n, *grid, 4), torch.nan)
    image, place = (boxes[..., 4] >= 0).nonzero(as_tuple=True)
    own, label = boxes[image, place, :4], boxes[image, place, 4].long()
    x, y = ((own[:, i] + own[:, i + 2]) / 2 / pixels for i in (0, 1))
    column, row = x.long().clamp(0, grid[1] - 1), y.long().clamp(0, grid[0] - 1)
    size = (own[:, 2:] - own[:, :2]) / pixels
    spread = (size.amin(1) * (1 - OVERLAP) / (1 + OVERLAP) / 3).clamp(min=LEAST_SPREAD)
    rows, columns = (torch.arange(side, device=boxes.device) for side in grid)
    far = (rows[:, None] - row[:, None, None]) ** 2 + (columns - column[:, None, None]) ** 2
    peaks = torch.exp(-far / (2 * spread[:, None, None] ** 2))
    for i, k, peak in zip(image.tolist(), label.tolist(), peaks, strict=True):
        heat[i, k] = torch.maximum(heat[i, k], peak)
    found[image, row, column] = own
    return heat, found


def inside_targets(boxes: Tensor, grid: tuple[int, int], pixels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Targets of a detector by cells: each cell whose centre lies in an object has its class and box.

    Of several objects the smallest one counts. Args and returns are those of `peak_targets`; heat is 0 or 1.

    Source: Tian et al. 2019, arXiv:1904.01355 (FCOS), at one level.
    """
    middle = centres(*grid, pixels, boxes)[None, None]
    low, high = (boxes[:, :, None, None, i : i + 2] for i in (0, 2))
    covered = ((middle > low) & (middle < high)).all(-1) & (boxes[..., 4] >= 0)[:, :, None, None]
    areas = (boxes[..., 2:4] - boxes[..., :2]).prod(-1)[:, :, None, None]
    smallest = torch.where(covered, areas, torch.inf)
    least, which = smallest.min(1) if boxes.shape[1] else (boxes.new_full((len(boxes), *grid), torch.inf), None)
    heat = boxes.new_zeros(len(boxes), classes, *grid)
    found = boxes.new_full((len(boxes), *grid, 4), torch.nan)
    if which is not None:
        image, row, column = least.isfinite().nonzero(as_tuple=True)
        own = boxes[image, which[image, row, column]]
        heat[image, own[:, 4].long(), row, column] = 1
        found[image, row, column] = own[:, :4]
    return heat, found


TARGETS = {"peaks": peak_targets, "suppression": inside_targets}
"""Targets by the detector's decoding."""


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """The focal loss of CornerNet, a sum over cells divided by the number of objects' cells.

    Cells of heat 1 cost `-(1 - p)^2 log p`; others `-(1 - heat)^4 p^2 log(1 - p)`.

    Args:
        logits: `[N, K, h, w]`.
        heat: likewise, in [0, 1].
    """
    p = logits.sigmoid()
    there = heat == 1
    positive = -((1 - p) ** 2) * F.logsigmoid(logits)
    negative = -((1 - heat) ** 4) * p**2 * F.logsigmoid(-logits)
    return torch.where(there, positive, negative).sum() / there.sum().clamp(min=1)


def box_loss(sides: Tensor, boxes: Tensor, pixels: int) -> Tensor:
    """The mean of 1 less the generalised intersection over union, over cells that have a box.

    Args:
        sides: `[N, 4, h, w]`.
        boxes: `[N, h, w, 4]`, NaN where none is.
        pixels: of a cell.
    """
    there = boxes.isfinite().all(-1)
    if not bool(there.any()):
        return sides.sum() * 0
    return torch.as_tensor(generalized_box_iou_loss(corners(sides, pixels)[there], boxes[there], reduction="mean"))


def train_cells(
    detector: CellDetector,
    images: Tensor,
    boxes: Tensor,
    *,
    steps: int,
    batch_size: int = 16,
    lr: float = 3e-3,
    weight_decay: float = 1e-4,
    seed: int = 0,
    augment: Augment | None = None,
) -> list[float]:
    """Train a detector, in place, and leave it in evaluation mode; the same arguments give the same weights.

    Args:
        detector: takes `images` as they are: a normalisation is its own affair.
        images: uint8 `[N, C, H, W]`, shown in [0, 1]; or float maps `[N, C, h, w]`.
        boxes: `[N, M, 5]`, see `peak_targets`.
        steps: optimizer steps.
        batch_size: images a step.
        lr: largest learning rate of AdamW.
        weight_decay: of AdamW.
        seed: of order and augmentation.
        augment: changes images in [0, 1] by their streams, and moves no object.

    Returns:
        The loss of each step.

    Raises:
        DataError: the numbers of images and of boxes differ, or there is no object.
    """
    if len(images) != len(boxes) or not bool((boxes[..., 4] >= 0).any()):
        raise DataError(f"{len(images)} images and boxes of {len(boxes)}: as many are needed, with an object at least")
    optimizer = torch.optim.AdamW(detector.parameters(), lr=lr, weight_decay=weight_decay)
    targets = TARGETS[detector.decoding]

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        shown = images[rows].float() / 255 if images.dtype == torch.uint8 else images[rows]
        logits, sides = detector.cells(shown if augment is None else augment(shown, rng))
        grid = (logits.shape[2], logits.shape[3])
        heat, wanted = targets(boxes[rows], grid, detector.pixels, logits.shape[1])
        return focal_loss(logits, heat) + box_loss(sides, wanted, detector.pixels)

    detector.train()
    losses = descend(optimizer, loss, len(images), steps=steps, batch_size=batch_size, seed=seed, name="cells")
    detector.eval()
    return losses
