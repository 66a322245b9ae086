"""`AttributeEdit`: one attribute of an image is edited, and the rest of it stays."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

import pyarrow as pa
import torch
from pydantic import Field, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.part import Condition, Part
from unshaken.core.rng import SampleRng
from unshaken.run.published import with_errors
from unshaken.run.rows import Context, outcomes
from unshaken.store.tables import declare_table
from unshaken.stress.engine.base import Stressor
from unshaken.stress.engine.complexity import complexity
from unshaken.stress.engine.fill_holes import fill_holes
from unshaken.stress.engine.object_layers import object_size, paste
from unshaken.stress.engine.object_source import (
    ASSUMED_OBJECT,
    CENTRE,
    GREY,
    MaskReader,
    Masks,
    find_masks,
    is_model,
)

T = TypeVar("T")
REFERENCE = "Li et al. 2023, arXiv:2303.17096"

declare_table(
    "attribute_edits",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("severity", pa.int32()),
        ("object_size", pa.float64()),
        ("edited_size", pa.float64()),
        ("complexity", pa.float64()),
        ("edited_complexity", pa.float64()),
        ("seconds", pa.float64()),
        ("error", pa.string()),
    ],
)


@dataclass(frozen=True, slots=True, eq=False)
class Edits:
    """Images whose attribute was edited.

    Args:
        images: `[N, C, H, W]` in [0, 1]; as they were where there is a problem.
        masks: bool `[N, 1, H, W]`: the objects in them.
        problems: place of an image to the reason why it could not be edited.
    """

    images: Tensor
    masks: Tensor
    problems: dict[int, str]


class AttributeEdit(Stressor):
    """Base class of edits of an attribute. A subclass writes `edit`.

    An edit needs to know the object. Masks come from a folder with an image `<id>.png` for each sample, white on the
    object (in a run of the photo's size, else of the image's); from a segmentation model; from a table or a function
    (`with_masks`); or they are assumed, which a flag of the run says. Behind the object the picture is filled in
    closed form, or by a function of the user's (`with_inpainter`). Pixels of the object are exact where it is pasted.

    An image that cannot be edited (no mask, an empty one, one of another size, an object that fills the picture, a
    size that is not reached) is a row with its reason, and is in no figure.
    """

    severities: ClassVar[tuple[int, ...]] = (1,)
    tasks: ClassVar[tuple[str, ...]] = ("classification",)

    masks: str = Field(
        CENTRE,
        description="folder of masks ID.png, white on the object; SPEC of a segmentation model; grey: by Otsu's "
        "threshold; centre: an ellipse in the middle",
    )
    _given: Masks | None = PrivateAttr(None)
    _inpainter: Any = PrivateAttr(None)
    _read: MaskReader | None = PrivateAttr(None)
    _ids: tuple[str, ...] = PrivateAttr(())
    _kept: dict[Any, Any] = PrivateAttr(default_factory=dict)

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.masks,) if is_model(self.masks) else ()

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return () if self.masks in (CENTRE, GREY) or is_model(self.masks) else (self.masks,)

    def with_masks(self, masks: Masks) -> Self:
        """The same edit with masks that are given.

        Args:
            masks: sample id to bool `[H, W]`, or a function from images `[N, C, H, W]` to bool `[N, H, W]`.
        """
        return self._with("_given", masks)

    def with_inpainter(self, function: Any) -> Self:
        """The same edit with another way to fill what is behind objects.

        Args:
            function: from images `[N, C, H, W]` in [0, 1] and holes, bool `[N, 1, H, W]`, to filled images.
        """
        return self._with("_inpainter", function)

    @override
    def for_samples(self, ids: Sequence[str]) -> Self:
        return self._with("_ids", tuple(ids))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Read something once, such as a generator, and keep it for all batches and severities.

        Args:
            key: tells it from other things of this edit.
            make: reads it.
        """
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def _with(self, name: str, value: Any) -> Self:
        copy = self.model_copy()
        setattr(copy, name, value)
        return copy

    @abstractmethod
    def edit(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Edits:
        """Edit images whose objects are known.

        A sample's result must not depend, to the bit, on who shares the batch.

        Args:
            images: float32 `[N, C, H, W]` in [0, 1].
            masks: bool `[N, 1, H, W]`, neither empty nor full.
            severity: one of `severities`.
            rng: of these samples.
        """

    def backgrounds(self, images: Tensor, masks: Tensor) -> Tensor:
        """Images without their objects: what is behind these is filled in."""
        filled: Tensor = (self._inpainter or fill_holes)(images, masks)
        return torch.where(masks, filled.to(images).clamp(0, 1), images)

    def edits(self, batch: Batch, severity: int, seed: int = 0) -> tuple[Edits, Tensor]:
        """Images, edited where they can be, and the masks of the originals, bool `[N, 1, H, W]`.

        Args:
            batch: any size, 1 or 3 channels.
            severity: one of `severities`.
            seed: of the run, as of `apply`.
        """
        self._check(severity, *batch.images.shape[2:])
        rng = SampleRng.of(seed, f"{self.info.name}/{severity}", batch.ids).to(batch.images.device)
        with torch.no_grad():
            return self.for_samples(batch.ids)._edited(batch.images.float(), severity, rng)

    def _edited(self, images: Tensor, severity: int, rng: SampleRng) -> tuple[Edits, Tensor]:
        if len(self._ids) != len(images):
            raise DataError(f"{self.info.name}: masks are known by sample; use it in an audit or by apply()")
        source = self.masks if self._given is None else self._given
        masks, problems = find_masks(source, images, self._ids, self._read)
        good = torch.tensor([i for i in range(len(images)) if i not in problems], dtype=torch.int64)
        changed, fronts = images.clone(), masks.clone()
        if len(good):
            made = self.edit(images[good], masks[good], severity, rng[good])
            changed[good], fronts[good] = made.images.clamp(0, 1), made.masks
            problems |= {int(good[i]): reason for i, reason in made.problems.items()}
        return Edits(changed, fronts, problems), masks

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        found, _ = self._edited(images, severity, rng)
        if found.problems:
            place, reason = min(found.problems.items())
            raise DataError(f"{self.info.name}: sample {self._ids[place]!r} cannot be edited: {reason}")
        return found.images

    @override
    def evaluate(self, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
        read = context.object_masks
        own = self if read is None else self._with("_read", lambda folder, name: read(folder, [name])[0])
        parts = [part for condition in conditions for part in own._parts(batch, condition, context)]
        if self._given is None and self.masks in (CENTRE, GREY) and parts:
            flag = ASSUMED_OBJECT.flag(f"{self.info.name}: masks={self.masks}")
            parts[0] = replace(parts[0], flags=(*parts[0].flags, flag))
        return parts

    def _parts(self, batch: Batch, condition: Condition, context: Context) -> list[Part]:
        oracle, severity, began = context.oracle, condition.severity or 0, time.perf_counter()
        logits, rows, reasons = list[Tensor](), list[dict[str, Any]](), dict[str, str]()
        for first in range(0, len(batch), oracle.limit):
            piece = batch[slice(first, first + oracle.limit)]
            with oracle.meter.method():
                started = time.perf_counter()
                made, masks = self.edits(piece, severity, context.seed)
                each = (time.perf_counter() - started) / len(piece)
                rows += [{**row, "seconds": each} for row in describe(piece, masks, made)]
            good = torch.tensor([i not in made.problems for i in range(len(piece))])
            reasons |= {piece.ids[i]: reason for i, reason in made.problems.items()}
            if bool(good.any()):
                logits.append(oracle.exact(made.images.to(piece.images)[good]))
        seconds = (time.perf_counter() - began) / len(batch)
        table = Part("attribute_edits", condition, {name: [row[name] for row in rows] for name in rows[0]})
        kept = batch[torch.tensor([name not in reasons for name in batch.ids])]
        if not logits:
            return [with_errors(Part("outcomes", condition, {"id": []}), reasons), table]
        again = partial(self._images, kept, severity, context.seed)
        part = outcomes(condition, kept, torch.cat(logits), seconds=seconds, images=again)
        return [with_errors(part, reasons), table]

    def _images(self, batch: Batch, severity: int, seed: int, rows: Tensor) -> Tensor:
        return self.apply(batch[rows], severity, seed).images


def describe(batch: Batch, masks: Tensor, made: Edits) -> list[dict[str, Any]]:
    """Rows of the table `attribute_edits`: share of the object and complexity without brightness, before and after.

    Args:
        batch: the originals.
        masks: their objects, bool `[N, 1, H, W]`.
        made: the edited images.
    """
    values = [complexity(x.float(), brightness=False).tolist() for x in (batch.images, made.images)]
    return [
        {
            "id": name,
            "object_size": object_size(masks[i, 0]),
            "edited_size": None if i in made.problems else object_size(made.masks[i, 0]),
            "complexity": values[0][i],
            "edited_complexity": None if i in made.problems else values[1][i],
            "error": made.problems.get(i),
        }
        for i, name in enumerate(batch.ids)
    ]


class BackgroundEdit(AttributeEdit):
    """Base class of edits of what is behind objects. A subclass writes `behind`."""

    @abstractmethod
    def behind(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        """Other backgrounds for images; arguments as of `edit`."""

    @override
    def edit(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Edits:
        return Edits(paste(images, masks, self.behind(images, masks, severity, rng)), masks, {})
