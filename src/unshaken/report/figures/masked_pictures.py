"""Pictures of a run with masks laid over them: the labelled one, and the predicted ones before and after a change."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import RunError
from unshaken.core.part import CLEAN
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Span, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures.pictures import BUDGET, SIDE, address, class_name
from unshaken.report.read.paired_images import read_losses
from unshaken.report.sections.section import Source
from unshaken.store.run_dir import RunDir
from unshaken.tasks.segmentation.small_masks import NO_LABEL, NO_PREDICTION, Mask, unpack_mask

SHOWN = 6
"""Images of a condition."""
COVER = 0.6
"""How much a mask covers of its image."""
NAMED = 12
"""Classes that the legend names, the largest ones."""
TURN = 0.618034
"""Hues of classes that follow each other are far apart: each is this share of the circle further."""
NOTHING = (0.5, 0.5, 0.5)
"""Grey, where there is no label or no prediction."""
Masks = Mapping[str, tuple[Mask, Mask]]
"""A sample's id to its predicted and its labelled mask."""


def masked_galleries(source: Source, conditions: Sequence[Mapping[str, Any]]) -> list[Block]:
    """A legend, and the images that lost most in each condition, the lowest mIoU first; nothing without pictures.

    Args:
        source: of the figures.
        conditions: rows of `summary.json`.
    """
    clean, left, classes = source.run.examples(CLEAN.id), BUDGET, source.config.classes
    if not clean:
        return []
    before, truth = read_losses(source.run, CLEAN.id), read_masks(source.run, CLEAN.id, clean)
    found: list[Block] = []
    seen: dict[int, int] = {}
    for row in sorted(conditions, key=lambda row: float((cells.metric(row) or {"value": 1})["value"])):
        name = row["condition"]
        images = {i: x for i, x in source.run.examples(name).items() if i in truth}
        after, masks, exhibits = read_losses(source.run, name), read_masks(source.run, name, images), list[Exhibit]()
        for i in sorted(masks, key=lambda i: before[i] - after[i])[:SHOWN]:
            pictures = (
                _picture(clean[i], truth[i][1], "labelled", classes),
                _picture(clean[i], truth[i][0], "predicted before", classes),
                Picture(address(images[i]), f"The image under {wording.condition_name(dict(row))}", "changed image"),
                _picture(images[i], masks[i][0], "predicted after", classes),
            )
            left -= sum(len(p.address) for p in pictures)
            if left < 0:
                break
            for mask in (truth[i][1], masks[i][0]):
                for k, pixels in zip(*np.unique(mask, return_counts=True), strict=True):
                    seen[int(k)] = seen.get(int(k), 0) + int(pixels)
            lines: tuple[Text, ...] = (f"IoU {1 - before[i]:.2f} → {1 - after[i]:.2f}", Span(i, "code"))
            exhibits.append(Exhibit(pictures, lines))
        if exhibits:
            note = f"{len(exhibits)} of {len(images)} that were kept"
            small = max(next(iter(images.values())).shape[1:]) < SIDE
            gallery = Gallery(tuple(exhibits), small)
            found.append(Details(wording.condition_name(dict(row)), (gallery,), note, not found))
    return [_legend(seen, classes), *found] if found else []


def read_masks(run: RunDir, condition: str, ids: Mapping[str, Tensor]) -> Masks:
    """The kept masks of some samples of a condition; none of a run that is older than these rows."""
    table = run.rows("masks", condition=condition)
    rows = ((row["id"], row["predicted"], row["labelled"]) for row in table.to_pylist() if row["id"] in ids)
    try:
        return {name: (unpack_mask(predicted), unpack_mask(labelled)) for name, predicted, labelled in rows}
    except OSError as error:
        raise RunError(f"{run}: a mask in rows/masks of {condition} cannot be read ({error})") from None


def colour_of(k: int) -> tuple[float, float, float]:
    """The colour of a class, in [0, 1]."""
    if k in (NO_LABEL, NO_PREDICTION):
        return NOTHING
    return colorsys.hsv_to_rgb(k * TURN % 1, 0.75, 0.95)


def lay_over(image: Tensor, mask: Mask) -> Tensor:
    """An image `[C, H, W]` in [0, 1] with a mask over it, as large as the mask where that is smaller, `[3, h, w]`."""
    size = (min(image.shape[1], mask.shape[0]), min(image.shape[2], mask.shape[1]))
    small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True, align_corners=False)[0]
    values, places = np.unique(mask, return_inverse=True)
    colours = np.array([colour_of(int(k)) for k in values], np.float32)[places.reshape(mask.shape)]
    over = F.interpolate(torch.from_numpy(colours).permute(2, 0, 1)[None], size, mode="nearest")[0]
    return torch.lerp(small.expand(3, -1, -1), over, COVER)


def _picture(image: Tensor, mask: Mask, label: str, classes: Sequence[str]) -> Picture:
    values, counts = np.unique(mask, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = [f"{_name(int(values[i]), classes)} {wording.percent(counts[i] / mask.size, 0)}" for i in order]
    return Picture(address(lay_over(image, mask)), f"{label}: {', '.join(shares)}", label)


def _name(k: int, classes: Sequence[str]) -> str:
    return {NO_LABEL: "no label", NO_PREDICTION: "no prediction"}.get(k) or class_name(classes, k)


def _legend(seen: Mapping[int, int], classes: Sequence[str]) -> Gallery:
    """The colours of the largest classes that pictures show."""
    largest = sorted(seen, key=lambda k: -seen[k])[:NAMED]
    exhibits = []
    for k in sorted(largest):
        patch = torch.tensor(colour_of(k))[:, None, None].expand(3, 8, 8)
        exhibits.append(Exhibit((Picture(address(patch), f"colour of {_name(k, classes)}", _name(k, classes)),), ()))
    return Gallery(tuple(exhibits), True)
