"""Cue conflict: images whose shape belongs to one class and whose texture to another, and which of the two decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.biases._answers import (
    Conflicts,
    asking,
    known_labels,
    partners_in,
    read_together,
    required_labels,
)
from unshaken.explain.biases.categories import Categories, read_categories
from unshaken.explain.biases.cue_sets import (
    close_ups,
    filled_outlines,
    gratings,
    other_classes,
    partners,
    textured_outlines,
)
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.stress.cues.phase_noise import exchange_phases
from unshaken.stress.cues.silhouette import foreground

Recipe = Literal["filled", "gratings", "phase-amplitude", "named"]
CUES = {
    "filled": ("outline", "tiles"),
    "gratings": ("outline", "grating"),
    "phase-amplitude": ("phase", "amplitude"),
    "named": ("shape", "texture"),
}
"""Recipe to the names of its two cues."""
_NAME = re.compile(r"(?P<shape>[a-z][a-z_ ]*?)\d*-(?P<texture>[a-z][a-z_ ]*?)\d*", re.IGNORECASE)

Stimuli = tuple[Batch, Tensor, Tensor]
"""Images, and the categories of their two cues, int64 `[N]`, -1 where one is in none."""


@register("cue-conflict", reference="Geirhos et al. 2019, arXiv:1811.12231")
class CueConflict(Analysis):
    """Cue conflict: the share of decisions for an image's shape where its texture belongs to another class.

    The images are made here of pairs of samples, or are the user's own, named after their cues.
    """

    table: ClassVar[str] = "biases"
    group: ClassVar[str] = "biases"
    several: ClassVar[bool] = True

    recipe: Recipe = Field(
        default="filled",
        description="outline of one image filled with tiles of another, or with a grating of another class; phases of "
        "one and amplitudes of another; or own files named SHAPE-TEXTURE, such as cat1-dog3.png",
    )
    categories: str = Field(
        default="", description="imagenet-16, a JSON file of category to classes, or empty for each class"
    )
    tiles: PositiveInt = Field(default=4, description="tiles along each side of what fills an outline")
    amplitude: float = Field(default=16 / 255, description="amplitude of a grating, in [0, 1] pixel units", gt=0, le=1)
    period: float = Field(default=4.0, description="period of a grating, in pixels", gt=2, le=1000)

    @override
    def find(self, subject: Subject) -> Findings:
        categories = {name: self._categories(subject, model.classes) for name, model in subject.models.items()}
        first = next(iter(categories.values()))
        if any(c.names != first.names for c in categories.values()):
            raise DataError("the models have other classes: name categories that hold classes of each")
        found, dropped = Conflicts(), 0
        with asking(subject) as answers:
            for batch, one, other in self._stimuli(subject, first):
                in_conflict = (one >= 0) & (other >= 0) & (one != other)
                dropped += int((~in_conflict).sum())
                if bool(in_conflict.any()):
                    shapes = Batch(batch.images[in_conflict], one[in_conflict], batch[in_conflict].ids)
                    decide = {name: c.decide for name, c in categories.items()}
                    decided = answers.ask(
                        "cue-conflict", shapes, first=one[in_conflict], second=other[in_conflict], decide=decide
                    )
                    found.add(one[in_conflict], other[in_conflict], decided)
        if not found.first:
            raise DataError(f"cue-conflict: none of {dropped} images has two cues of different categories")
        figures, remarks = found.figures()
        if dropped:
            left = "1 image was" if dropped == 1 else f"{dropped:,} images were"
            remarks.append(f"{left} left out: both cues of one category, or one in none.")
        if self.recipe == "phase-amplitude":
            remarks.append("Phases and amplitudes are no test of shape and texture: they stand for themselves alone.")
        extra = {"cues": CUES[self.recipe], "categories": first.names, **found.counts(first.names)}
        return answers.findings(figures=figures, remarks=tuple(remarks), extra=extra)

    def _categories(self, subject: Subject, classes: tuple[str, ...]) -> Categories:
        if classes or self.recipe == "named":
            return read_categories(self.categories, classes)
        names = subject.dataset.classes if subject.dataset is not None else ()
        return read_categories(self.categories, names, int(known_labels(subject).max()) + 1)

    def _stimuli(self, subject: Subject, categories: Categories) -> Iterator[Stimuli]:
        if self.recipe == "named":
            yield from _named(subject, categories)
            return
        labels = np.where((found := known_labels(subject)) >= 0, found, -1)
        if self.recipe == "gratings":
            yield from self._with_gratings(subject, categories)
            return
        for batch, partner in read_together(subject, partners_in(subject, partners(labels, subject.seed))):
            if self.recipe == "filled":
                texture = close_ups(partner.images, foreground(partner.images))
                images = filled_outlines(foreground(batch.images), texture, tiles=self.tiles)
            else:
                images = exchange_phases(partner.images, batch.images).clamp(0, 1)
            one, other = (categories.of_classes(required_labels(b)) for b in (batch, partner))
            yield batch.with_images(images), one, other

    def _with_gratings(self, subject: Subject, categories: Categories) -> Iterator[Stimuli]:
        count = len(categories.names)
        for batch in subject.batches():
            height, width = batch.images.shape[2:]
            one = categories.of_classes(required_labels(batch))
            other = other_classes(one, count, SampleRng.of(subject.seed, "cue-conflict", batch.ids))
            textures = gratings(count, height, width, period=self.period).to(batch.images.device)[other]
            images = textured_outlines(
                foreground(batch.images), textures.expand_as(batch.images), amplitude=self.amplitude
            )
            yield batch.with_images(images), one, other


def _named(subject: Subject, categories: Categories) -> Iterator[Stimuli]:
    """The user's images, whose files are called after their two cues."""
    place = {name.casefold(): i for i, name in enumerate(categories.names)}
    spec = "" if subject.dataset is None else subject.dataset.options.spec
    ids = [] if subject.dataset is None else [subject.dataset.ids[i] for i in subject.indices]
    cues = {i: found.groupdict() for i in ids if (found := _NAME.fullmatch(PurePosixPath(i).stem))}
    if not cues:
        example = f": {ids[0]!r}" if ids else ""
        raise DataError(f"data {spec!r}: no file is named SHAPE-TEXTURE, such as cat1-dog3.png{example}")
    known = {i: (place.get(c["shape"].casefold(), -1), place.get(c["texture"].casefold(), -1)) for i, c in cues.items()}
    if all(min(c) < 0 for c in known.values()):
        met = sorted({name for c in cues.values() for name in c.values()})
        raise DataError(
            f"data {spec!r}: no file has two cues among the categories {', '.join(categories.names[:8])}: its "
            f"names are {', '.join(met[:8])}; name the categories by categories=imagenet-16 or a JSON file"
        )
    for batch in subject.batches():
        one, other = torch.tensor([known.get(i, (-1, -1)) for i in batch.ids]).T.to(batch.images.device)
        yield batch, one, other
