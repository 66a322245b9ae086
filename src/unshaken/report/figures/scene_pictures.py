"""Pictures of a run with masks laid over them, or with boxes drawn in, before and after a change."""

from __future__ import annotations

import base64
import colorsys
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from unshaken.core.errors import RunError
from unshaken.core.part import CLEAN
from unshaken.measure.statistics.columns import Numbers
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Span, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures.pictures import BUDGET, SIDE, address, class_name
from unshaken.report.read.tasks import Scene, read_losses
from unshaken.report.sections import Source
from unshaken.store.run_dir import RunDir
from unshaken.tasks.segmentation.small_masks import NO_LABEL, NO_PREDICTION, Mask, unpack_mask

BOXED_SIDE = 320
"""Long side of a picture in pixels: larger ones are made smaller, small ones larger by a whole factor."""
SURE = 0.5
"""Score from which a detection is drawn."""
OBJECT, DETECTION = (46, 160, 67), (230, 126, 34)
Scenes = Mapping[str, Mapping[str, Scene]]
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
    pixels_of: dict[int, int] = {}
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
                    pixels_of[int(k)] = pixels_of.get(int(k), 0) + int(pixels)
            lines: tuple[Text, ...] = (f"IoU {1 - before[i]:.2f} → {1 - after[i]:.2f}", Span(i, "code"))
            exhibits.append(Exhibit(pictures, lines))
        if exhibits:
            note = f"{len(exhibits)} of {len(images)} that were kept"
            small = max(next(iter(images.values())).shape[1:]) < SIDE
            gallery = Gallery(tuple(exhibits), small)
            found.append(Details(wording.condition_name(dict(row)), (gallery,), note, not found))
    return [_legend(pixels_of, classes), *found] if found else []


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


def _legend(pixels_of: Mapping[int, int], classes: Sequence[str]) -> Gallery:
    """The colours of the largest classes that pictures show."""
    largest = sorted(pixels_of, key=lambda k: -pixels_of[k])[:NAMED]
    exhibits = []
    for k in sorted(largest):
        patch = torch.tensor(colour_of(k))[:, None, None].expand(3, 8, 8)
        exhibits.append(Exhibit((Picture(address(patch), f"colour of {_name(k, classes)}", _name(k, classes)),), ()))
    return Gallery(tuple(exhibits), True)


# Boxes of objects and of detections.


def boxed_galleries(source: Source, scenes: Scenes, conditions: Sequence[Mapping[str, Any]]) -> list[Details]:
    """The images that lost most in each condition, unchanged and changed, the lowest mAP first.

    Args:
        source: of the figures.
        scenes: by condition and sample.
        conditions: rows of `summary.json`.
    """
    clean, left = source.run.examples(CLEAN.id), BUDGET
    found: list[Details] = []
    before = read_losses(source.run, CLEAN.id)
    for row in sorted(conditions, key=lambda row: float((cells.metric(row) or {"value": 1})["value"])):
        name = row["condition"]
        images = {i: x for i, x in source.run.examples(name).items() if i in clean and i in scenes[name]}
        after, exhibits = read_losses(source.run, name), list[Exhibit]()
        for i in sorted(images, key=lambda i: before[i] - after[i])[:SHOWN]:
            pictures = (
                _boxed(clean[i], scenes[CLEAN.id][i], "unchanged", source.config.classes),
                _boxed(images[i], scenes[name][i], "changed", source.config.classes),
            )
            left -= sum(len(p.address) for p in pictures)
            if left < 0:
                break
            scores = f"F1 {1 - before[i]:.2f} → {1 - after[i]:.2f}"
            lines: tuple[Text, ...] = (scores, Span(i, "code"))
            exhibits.append(Exhibit(pictures, lines))
        if exhibits:
            note = f"{len(exhibits)} of {len(images)} that were kept"
            found.append(Details(wording.condition_name(dict(row)), (Gallery(tuple(exhibits)),), note, not found))
    return found


def _boxed(image: Tensor, scene: Scene, label: str, classes: Sequence[str]) -> Picture:
    sure = scene.found.scores >= SURE
    boxes = [
        (OBJECT, _in_view(scene.objects.boxes, scene.view)),
        (DETECTION, _in_view(scene.found.boxes[sure], scene.view)),
    ]
    names = [classes[k] if k < len(classes) else str(k) for k in scene.found.classes[sure]]
    text = f"{label}: {len(scene.objects.classes)} objects; found {', '.join(names) if names else 'none'}"
    return Picture(draw_boxes(image, boxes), text, label)


def _in_view(boxes: Numbers, view: Numbers) -> Numbers:
    """Boxes in pixels of the photo as boxes in those of the view."""
    return (boxes - np.tile(view[2:], 2)) / np.tile(view[:2], 2)


def draw_boxes(image: Tensor, boxes: Sequence[tuple[tuple[int, int, int], Numbers]]) -> str:
    """An image `[C, H, W]` in [0, 1] with boxes, as a data address.

    Args:
        image: of what the model saw.
        boxes: colour, and boxes `[n, 4]` as (left, top, right, bottom) in pixels of the image.
    """
    levels = (torch.nan_to_num(image.float()).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3))))
    longest = max(picture.size)
    factor = BOXED_SIDE / longest if longest > BOXED_SIDE else max(1, BOXED_SIDE // (2 * longest))
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    picture = picture.resize(size, Image.Resampling.BILINEAR if factor < 1 else Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    for colour, found in boxes:
        for left, top, right, bottom in (found * factor).tolist():
            if right - left >= 1 and bottom - top >= 1:
                pen.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=2)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
