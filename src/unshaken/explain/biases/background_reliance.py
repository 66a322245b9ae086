"""Background reliance: decisions about objects on other backgrounds, and about backgrounds without their object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.data import load_data
from unshaken.data.object_masks import find_shared
from unshaken.explain.biases._answers import (
    Answers,
    Companions,
    asking,
    known_labels,
    partners_in,
    read_together,
    required_labels,
)
from unshaken.explain.biases.cue_sets import partners
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.measure import Figure, compare, paired_difference, share
from unshaken.stress.cues.silhouette import foreground

STIMULI = {
    "original": "the image as it is",
    "object-only": "the object on grey",
    "background-only": "the background, the object replaced by its mean colour",
    "mixed-same": "the object on the background of another image of its class",
    "mixed-other": "the object on the background of an image of another class",
}
"""As in ImageNet-9: the gap between the last two is what a background's class is worth."""


def without_object(images: Tensor, objects: Tensor) -> Tensor:
    """Backgrounds alone: the object is replaced by the mean colour of what is around it.

    Args:
        images: float32 `[N, C, H, W]`.
        objects: bool `[N, 1, H, W]`; where all is object, the image's own mean colour is taken.
    """
    around = (~objects).to(images.dtype)
    around = torch.where(around.sum((2, 3), keepdim=True) > 0, around, torch.ones_like(around))
    mean = (images * around).sum((2, 3), keepdim=True) / around.sum((2, 3), keepdim=True)
    return torch.where(objects, mean, images)


def mixed(images: Tensor, objects: Tensor, others: Tensor, other_objects: Tensor) -> Tensor:
    """Objects on the backgrounds of other images, all `[N, C, H, W]` with masks `[N, 1, H, W]`."""
    return torch.where(objects, images, without_object(others, other_objects))


@register("background-reliance", reference="Xiao et al. 2021, arXiv:2006.09994")
class BackgroundReliance(Analysis):
    """Background reliance: accuracy on objects alone, on backgrounds alone, and on objects with other backgrounds.

    The gap is the accuracy on backgrounds of the same class less that on backgrounds of other classes.
    """

    table: ClassVar[str] = "biases"
    group: ClassVar[str] = "biases"
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images", "labels"})
    several: ClassVar[bool] = True

    masks: str = Field(
        default="", description="folder of masks named as the images, white on the object; empty: found by grey"
    )

    @override
    def find(self, subject: Subject) -> Findings:
        labels = known_labels(subject)
        chosen = [partners(labels, subject.seed, same=same) for same in (True, False)]
        companions = [partners_in(subject, c) for c in chosen]
        if self.masks:
            places = mask_places(subject, self.masks)
            companions += [
                Companions(places.dataset, [places.indices[i] for i in c]) for c in (np.arange(len(labels)), *chosen)
            ]
        right: dict[tuple[str, str], list[NDArray[np.bool_]]] = {}
        with asking(subject) as answers:
            for batches in read_together(subject, *companions):
                images = [b.images for b in batches[:3]]
                masks = [b.images.mean(1, keepdim=True) > 0.5 for b in batches[3:]] or [foreground(x) for x in images]
                self._ask(answers, batches[0], images, masks, right)
        if not right:
            raise DataError("background-reliance: no image could be read together with its mask and its partners")
        hits = {key: np.concatenate(parts) for key, parts in right.items()}
        return answers.findings(
            figures=figures_of(hits, list(answers.oracles)),
            remarks=() if self.masks else ("The objects were found by their grey alone, for want of masks.",),
            extra={"words": STIMULI, "masks": self.masks},
        )

    def _ask(
        self, answers: Answers, batch: Batch, images: list[Tensor], masks: list[Tensor],
        right: dict[tuple[str, str], list[NDArray[np.bool_]]],
    ) -> None:  # fmt: skip
        own = images[0]
        stimuli = {
            "original": own,
            "object-only": torch.where(masks[0], own, torch.full_like(own, 0.5)),
            "background-only": without_object(own, masks[0]),
            "mixed-same": mixed(own, masks[0], images[1], masks[1]),
            "mixed-other": mixed(own, masks[0], images[2], masks[2]),
        }
        truth = required_labels(batch).cpu()
        for stimulus, shown in stimuli.items():
            for name, decided in answers.ask(stimulus, batch.with_images(shown)).items():
                right.setdefault((name, stimulus), []).append((decided == truth).numpy())


def figures_of(hits: Mapping[tuple[str, str], NDArray[np.bool_]], models: list[str]) -> dict[str, Figure]:
    """Accuracies, each model's gap, and how the gap differs from that of the first model, all on the same images.

    Args:
        hits: bool `[N]` by model and stimulus.
        models: their names.
    """
    figures = {f"accuracy.{m}.{s}": share(int(h.sum()), len(h)) for (m, s), h in hits.items()}
    gaps: dict[str, Any] = {}
    for model in models:
        same, other = hits[model, "mixed-same"], hits[model, "mixed-other"]
        figures[f"gap.{model}"] = compare(other, same).difference
        gaps[model] = same.astype(float) - other
    for model in models[1:]:
        figures[f"gap_difference.{model}"] = paired_difference(gaps[models[0]], gaps[model], low=-2.0, high=2.0)
    return figures


def mask_places(subject: Subject, folder: str) -> Companions:
    """The mask of each sample: the file of the same name, whatever its extension.

    Raises:
        DataError: the folder cannot be read, a sample has no mask, or two samples or two masks differ in the extension
            alone.
    """
    masks = load_data(folder if ":" in folder else f"folder:{folder}")
    place = {str(PurePosixPath(i).with_suffix("")): n for n, i in enumerate(masks.ids)}
    for names in (masks.ids, () if subject.dataset is None else subject.dataset.ids):
        for one, other in find_shared(names).values():
            raise DataError(
                f"masks {folder!r}: {one!r} and {other!r} differ in the extension alone: rename one of them"
            )
    ids = [] if subject.dataset is None else [subject.dataset.ids[i] for i in subject.indices]
    stems = [str(PurePosixPath(i).with_suffix("")) for i in ids]
    if absent := [i for i, stem in zip(ids, stems, strict=True) if stem not in place]:
        raise DataError(
            f"masks {folder!r}: {len(absent)} of {len(ids)} images have none, such as {absent[0]!r}: name masks as the "
            f"images, like {stems[ids.index(absent[0])]}.png"
        )
    return Companions(masks, [place[s] for s in stems])
