"""The most damaging examples of a run as pictures inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unshaken.core.classifier import NO_CLASS
from unshaken.core.part import CLEAN
from unshaken.report.blocks import Text
from unshaken.report.drawings import Exhibit, Picture
from unshaken.report.read.frame import Frame, read_outcomes, shards_of
from unshaken.run.examples import damage
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir

RISING = ((0.0, 0.0, 0.02), (0.34, 0.06, 0.43), (0.73, 0.21, 0.33), (0.98, 0.56, 0.04), (0.99, 1.0, 0.64))
"""From nothing to the most: dark to light, so that it can be read without colours."""
SIGNED = ((0.02, 0.19, 0.5), (0.4, 0.66, 0.86), (0.97, 0.97, 0.97), (0.95, 0.54, 0.4), (0.55, 0.05, 0.1))
"""From against the class, by nothing, to for it."""
SIDE = 112
"""Larger pictures are made smaller to this long side in pixels."""
BUDGET = 1_200_000
"""Characters of all pictures of a page together, so that it stays small."""
STRIP = 1 << 22
"""Numbers of a large picture that are read at once, 16 MiB."""
FACTORS = (1, 2, 5, 10, 20, 50, 100)
"""Amplifications of a difference; the largest that clips nothing is taken."""


@dataclass(frozen=True, slots=True)
class Example:
    """One sample before and after a change, as pictures and predictions.

    Args:
        id: the sample.
        clean: address of its picture.
        changed: address of the changed picture.
        difference: address of the amplified difference around grey.
        factor: the amplification.
        label: true class, or None.
        before: predicted class on the clean image.
        before_confidence: in [0, 1].
        after: predicted class on the changed one.
        after_confidence: in [0, 1].
        fooled: the prediction changed from right to wrong (without labels: changed).
        distance: norm of the change; None where the condition has none.
        broken_by: stage of an attack that broke it, or None.
    """

    id: str
    clean: str
    changed: str
    difference: str
    factor: int
    label: str | None
    before: str
    before_confidence: float
    after: str
    after_confidence: float
    fooled: bool
    distance: float | None
    broken_by: str | None

    @property
    def size(self) -> int:
        """Characters of the three pictures together."""
        return len(self.clean) + len(self.changed) + len(self.difference)


@dataclass(slots=True)
class Examples:
    """The examples of one condition that a page shows.

    Args:
        condition: as in the summary.
        kept: pictures that the run kept.
        examples: those shown, worst first.
        small: the pictures are shown enlarged, pixel by pixel.
    """

    condition: Mapping[str, Any]
    kept: int
    examples: list[Example] = field(default_factory=list)
    small: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """Pictures and rows of one condition, worst first."""

    found: Examples
    place: int
    ranked: list[tuple[int, str]]
    images: Mapping[str, Tensor]
    rows: dict[str, dict[str, Any]]


def examples_of(
    run: RunDir,
    config: RunConfig,
    frame: Frame,
    conditions: Sequence[Mapping[str, Any]],
    *,
    shown: int = 8,
    size: int = BUDGET,
) -> list[Examples]:
    """Pictures for a page, within a size; where it is short every condition gets its worst ones first.

    Args:
        run: where the pictures are.
        config: of the run.
        frame: its outcomes.
        conditions: those wanted, as in the summary.
        shown: examples a condition at most.
        size: characters of all pictures together.
    """
    clean = run.examples(CLEAN.id)
    places = {name: n for n, name in enumerate(frame.ids) if name in clean}
    sources = [s for c in conditions if (s := _source(run, frame, c, clean, places)) is not None]
    for rank in range(shown):
        for source in sources:
            if rank < len(source.ranked):
                example = _example(config, frame, source, *source.ranked[rank], clean)
                size -= example.size
                if size < 0:
                    return [s.found for s in sources if s.found.examples]
                source.found.examples.append(example)
    return [s.found for s in sources if s.found.examples]


def address(image: Tensor, *, side: int = SIDE) -> str:
    """A picture `[C, H, W]` in [0, 1] as a data address: PNG, or JPEG for photos that were made smaller than `side`."""
    return _address(shrink(lambda: image, side=side), large=max(image.shape[1:]) > side)


def _address(image: Tensor, *, large: bool) -> str:
    levels = (torch.nan_to_num(image).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else np.ascontiguousarray(levels[:, :, :3]))
    data = io.BytesIO()
    if large:
        picture.save(data, "JPEG", quality=88, subsampling=0)
    else:
        picture.save(data, "PNG", optimize=True)
    return f"data:image/{'jpeg' if large else 'png'};base64,{base64.b64encode(data.getvalue()).decode()}"


def shrink(read: Callable[[], Tensor], *, side: int = SIDE) -> Tensor:
    """A picture with `side` pixels at its long side at most, float32, made of strips of at most `STRIP` numbers.

    Args:
        read: gives the picture `[C, H, W]`; it is asked for each strip, so that one mapped from a file is held in part.
        side: in pixels.
    """
    channels, height, width = read().shape
    if max(height, width) <= side:
        return read().float()
    size = [max(1, round(own * side / max(height, width))) for own in (height, width)]
    narrow = [_resize(read()[:, rows].float(), (-1, size[1])) for rows in _strips(channels, height, width)]
    return _resize(torch.cat(narrow, 1), (size[0], -1))


def _strips(channels: int, height: int, width: int) -> list[slice]:
    step = max(1, STRIP // (channels * width))
    return [slice(top, top + step) for top in range(0, height, step)]


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture `[C, H, W]` at another size, -1 for a side that stays."""
    sides = [own if side < 0 else side for own, side in zip(image.shape[1:], size, strict=True)]
    return F.interpolate(image[None], sides, mode="bilinear", antialias=True, align_corners=False)[0]


def amplification(clean: Callable[[], Tensor], changed: Callable[[], Tensor]) -> int:
    """The largest of `FACTORS` by which a change can be multiplied so that `0.5 + factor change / 2` clips nothing.

    Args:
        clean: gives the picture `[C, H, W]` in [0, 1]; it is asked for each strip, as by `shrink`.
        changed: the same of the changed picture, of the same shape.
    """
    strips = _strips(*clean().shape)
    most = float(torch.stack([(changed()[:, rows] - clean()[:, rows]).float().abs().max() for rows in strips]).max())
    return max((f for f in FACTORS if f * most <= 1), default=1)


def _source(
    run: RunDir, frame: Frame, condition: Mapping[str, Any], clean: Mapping[str, Tensor], places: Mapping[str, int]
) -> _Source | None:
    name, images = condition["condition"], run.examples(condition["condition"])
    sizes = {i: max(x.shape[1:]) for i, x in images.items() if i in clean and clean[i].shape == x.shape}
    if not sizes:
        return None
    rows = {i: n for i, n in places.items() if i in sizes}
    here, there = (_columns(run, c, list(rows), name) for c in (name, CLEAN.id))
    both = [i for i in rows if i in here and i in there]
    if not both:
        return None
    if "accuracy" in condition:
        scores = damage(_stack(here, both), _stack(there, both))
    else:  # nearest examples: the nearest first, those that were wrong before or are still right last
        scores = -np.array([here[i]["distance"] or np.inf for i in both], float)
    ranked = [(rows[both[k]], both[k]) for k in np.argsort(-scores, kind="stable").tolist()]
    found = Examples(condition, len(sizes), small=next(iter(sizes.values())) < SIDE)
    return _Source(found, frame.column(name), ranked, images, here)


def _columns(run: RunDir, condition: str, ids: Sequence[str], kept: str) -> dict[str, dict[str, Any]]:
    """Rows of samples whose pictures were kept under a condition, from the shards that have such pictures."""
    names = ["id", "prediction", "confidence", "correct", "loss", "distance", "broken_by", "error"]
    files = (file.removesuffix(".safetensors").rpartition("-") for file in run.names("examples"))
    shards = {int(shard) for name, _, shard in files if name == kept and shard.isascii() and shard.isdecimal()}
    table = read_outcomes(run, condition, sorted(shards.intersection(shards_of(run, condition))), names)
    rows = table.filter(pc.is_in(table["id"], value_set=pa.array(ids, pa.string()))).to_pylist()
    return {r["id"]: r for r in rows if r["error"] is None}


def _stack(rows: dict[str, dict[str, Any]], ids: Sequence[str]) -> dict[str, Any]:
    columns: dict[str, Any] = {k: np.array([rows[i][k] for i in ids]) for k in ("prediction", "confidence")}
    if all(rows[i]["loss"] is not None for i in ids):
        columns |= {k: np.array([rows[i][k] for i in ids]) for k in ("correct", "loss")}
    return columns


def _example(
    config: RunConfig, frame: Frame, source: _Source, row: int, name: str, clean: Mapping[str, Tensor]
) -> Example:
    j = source.place
    before, after = int(frame.prediction[row, 0]), int(frame.prediction[row, j])
    unchanged, changed = (partial(images.__getitem__, name) for images in (clean, source.images))
    small, other, factor = shrink(unchanged), shrink(changed), amplification(unchanged, changed)
    large = max(unchanged().shape[1:]) > SIDE
    labelled = frame.labels[row] >= 0
    fooled = bool(frame.right[row, 0] == 1 and frame.right[row, j] == 0) if labelled else before != after
    return Example(
        id=name,
        clean=_address(small, large=large),
        changed=_address(other, large=large),
        difference=_address(0.5 + factor * (other - small) / 2, large=large),
        factor=factor,
        label=class_name(config.classes, int(frame.labels[row])) if labelled else None,
        before=class_name(config.classes, before),
        before_confidence=float(np.nan_to_num(frame.confidence[row])),
        after=class_name(config.classes, after),
        after_confidence=float(np.nan_to_num(source.rows[name]["confidence"])),
        fooled=fooled,
        distance=source.rows[name].get("distance"),
        broken_by=source.rows[name].get("broken_by"),
    )


def class_name(names: Sequence[str], index: int) -> str:
    """A class by name, or by number where names are unknown; `NO_CLASS` in words."""
    if index == NO_CLASS:
        return "no class (NaN)"
    return names[index] if 0 <= index < len(names) else f"class {index}"


def sample_exhibits(
    rows: Sequence[Mapping[str, Any]],
    images: Mapping[str, Tensor],
    lines: Callable[[Mapping[str, Any]], tuple[Text, ...]],
) -> tuple[Exhibit, ...]:
    """Samples as pictures with lines about them, within `BUDGET`; rows without an image are left out.

    Args:
        rows: each with the `id` of a sample, those to show first.
        images: by id, each `[C, H, W]` in [0, 1].
        lines: what is written below the picture of a row.
    """
    exhibits, size = list[Exhibit](), 0
    for row in rows:
        if row["id"] in images and size <= BUDGET:
            picture = Picture(address(images[row["id"]]), f"Sample {row['id']}")
            size += len(picture.address)
            exhibits.append(Exhibit((picture,), lines(row)))
    return tuple(exhibits)


# Maps of pixels as colours.


def heat(one: Tensor) -> Tensor:
    """Colour a map of pixels.

    Args:
        one: `[H, W]`. Without negative values its range is brought to [0, 1]; with them 0 is white, and the largest
            absolute value is at an end.

    Returns:
        float32 `[3, H, W]` in [0, 1].
    """
    values = one.double()
    if float(values.min()) < 0:
        return _between((values / values.abs().max() + 1) / 2, SIGNED)
    low, high = values.min(), values.max()
    return _between((values - low) / (high - low) if high > low else torch.zeros_like(values), RISING)


def _between(shares: Tensor, stops: tuple[tuple[float, float, float], ...]) -> Tensor:
    """Colours at shares of the way through equidistant stops, `[3, H, W]`."""
    colours, place = torch.tensor(stops), shares.float() * (len(stops) - 1)
    first = place.long().clamp(0, len(stops) - 2)
    part = (place - first)[..., None]
    return ((1 - part) * colours[first] + part * colours[first + 1]).permute(2, 0, 1)
