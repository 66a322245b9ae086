"""Pictures of a run with boxes of objects and of detections drawn in."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unshaken.core.part import CLEAN
from unshaken.measure.statistics.columns import Numbers
from unshaken.report import cells, wording
from unshaken.report.blocks import Details, Span, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures.pictures import BUDGET
from unshaken.report.read.objects import Scene
from unshaken.report.read.paired_images import read_losses
from unshaken.report.sections.section import Source

SIDE = 320
"""Long side of a picture in pixels: larger ones are made smaller, small ones larger by a whole factor."""
SURE = 0.5
"""Score from which a detection is drawn."""
OBJECT, DETECTION = (46, 160, 67), (230, 126, 34)
SHOWN = 6
"""Images of a condition."""
Scenes = Mapping[str, Mapping[str, Scene]]


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
                _picture(clean[i], scenes[CLEAN.id][i], "unchanged", source.config.classes),
                _picture(images[i], scenes[name][i], "changed", source.config.classes),
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


def _picture(image: Tensor, scene: Scene, label: str, classes: Sequence[str]) -> Picture:
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
    factor = SIDE / longest if longest > SIDE else max(1, SIDE // (2 * longest))
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
