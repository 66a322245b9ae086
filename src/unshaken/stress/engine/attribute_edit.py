"""`AttributeEdit`: one attribute of an image is edited, and the rest of it stays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.context import ObjectMasks
from unshaken.core.errors import DataError
from unshaken.core.flag import Flag
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table
from unshaken.stress.engine.base import Stressor
from unshaken.stress.engine.complexity import complexity
from unshaken.stress.engine.object_layers import Layer, fill_holes, object_size, paste
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
    "id string, condition string, method string, severity int32, object_size double, edited_size double, "
    "complexity double, edited_complexity double, seconds double, error string",
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
        default=CENTRE,
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
    def with_resources(self, found: Mapping[type[Any], Any]) -> Self:
        read: ObjectMasks | None = found.get(ObjectMasks)
        return self if read is None else self._with("_read", lambda folder, name: read(folder, [name])[0])

    @override
    def flags(self, batch: Batch, severities: Sequence[int], seed: int) -> list[Flag]:
        assumed = self._given is None and self.masks in (CENTRE, GREY)
        return [ASSUMED_OBJECT.flag(f"{self.info.name}: masks={self.masks}")] if assumed else []


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


class ObjectEdit(AttributeEdit):
    """Base class of edits of the object. A subclass writes `change`."""

    @abstractmethod
    def change(self, image: Tensor, mask: Tensor, severity: int, rng: SampleRng) -> Layer:
        """Change the object of one image.

        Args:
            image: float32 `[C, H, W]` in [0, 1].
            mask: bool `[H, W]`, neither empty nor full.
            severity: one of `severities`.
            rng: of this sample.
        """

    @override
    def edit(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Edits:
        layers = [self.change(images[i], masks[i, 0], severity, rng[i : i + 1]) for i in range(len(images))]
        problems = {i: layer.problem for i, layer in enumerate(layers) if layer.problem}
        lost = {i: "nothing of its object is left in the picture" for i, x in enumerate(layers) if not x.mask.any()}
        objects, fronts = torch.stack([x.image for x in layers]), torch.stack([x.mask for x in layers])[:, None]
        return Edits(paste(objects, fronts, self.backgrounds(images, masks)), fronts, lost | problems)
