"""Object masks: where a model looks for the class of each image, cut from maps, as files for edits of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.device import widen
from unshaken.core.errors import DataError
from unshaken.core.imports import need
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register
from unshaken.core.trust import NOT_FINITE
from unshaken.data.object_masks import check_mask_names, write_object_masks
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.run import NonFiniteMapError, attribute
from unshaken.measure import share
from unshaken.measure.statistics.means import mean_figure

SURE_OBJECT, SURE_GROUND = 0.9, 0.05
"""Shares of a map's largest value above which a pixel is surely object, and below which it is surely ground."""


def masks_of_maps(maps: Tensor, threshold: float) -> Tensor:
    """Where maps exceed a share of their largest value.

    Args:
        maps: `[N, H, W]`; values below 0 count as 0.
        threshold: share in (0, 1).

    Returns:
        bool `[N, H, W]`; empty where a map has no value above 0.

    Source: Zhou et al. 2016, arXiv:1512.04150.
    """
    positive = maps.clamp(min=0)
    return positive > threshold * positive.amax((1, 2), keepdim=True)


def refine_by_grabcut(images: Tensor, maps: Tensor, masks: Tensor, rounds: int = 3) -> Tensor:
    """Move the edges of masks to those of the pictures.

    What a map puts above `SURE_OBJECT` of its largest value stays object, and what it puts below `SURE_GROUND` stays
    ground; between them two mixtures of colours and a graph cut decide, from the masks on.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        maps: `[N, H, W]`.
        masks: bool `[N, H, W]`.
        rounds: of fitting and cutting.

    Returns:
        bool `[N, H, W]`; a mask stays as it is where it is empty or full, or where nothing would be left.

    Raises:
        MissingExtra: OpenCV is absent.

    Source: Rother et al. 2004, doi:10.1145/1015706.1015720.
    """
    cv2 = need("cv2", "opencv-python-headless", "grabcut", "GrabCut")
    found = masks.clone()
    for i, (image, heat, mask) in enumerate(zip(images.cpu(), maps.cpu(), masks.cpu(), strict=True)):
        if not bool(mask.any()) or bool(mask.all()):
            continue
        share = (heat / heat.amax()).numpy()
        state: NDArray[np.uint8] = np.where(mask.numpy(), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        state[share > SURE_OBJECT], state[share < SURE_GROUND] = cv2.GC_FGD, cv2.GC_BGD
        pixels = image.mul(255).round().byte().permute(1, 2, 0).expand(-1, -1, 3).contiguous().numpy()
        cv2.setRNGSeed(0)
        cv2.grabCut(pixels, state, None, np.zeros((1, 65)), np.zeros((1, 65)), rounds, cv2.GC_INIT_WITH_MASK)
        cut = torch.from_numpy((state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD))
        if bool(cut.any()):
            found[i] = cut
    return found


def find_objects(
    model: Classifier, images: Tensor, classes: Tensor | None, *, method: str = "gradcam", threshold: float = 0.35,
    grabcut: bool = False, ids: Sequence[str] | None = None, seed: int = 0,
) -> tuple[Tensor, int, int]:  # fmt: skip
    """Masks of what a model looks at for a class.

    Args:
        model: a classifier.
        images: float32 `[N, C, H, W]` in [0, 1].
        classes: int64 `[N]`; None for those predicted.
        method: an attribution, `NAME[:k=v,...]`.
        threshold: as of `masks_of_maps`.
        grabcut: whether `refine_by_grabcut` moves their edges.
        ids: one a sample.
        seed: for maps that draw.

    Returns:
        bool `[N, H, W]`, and the forward and backward passes that were spent.
    """
    found = attribute(model, images, method, classes=classes, ids=ids, seed=seed)
    masks = masks_of_maps(found.maps, threshold)
    if grabcut:
        masks = refine_by_grabcut(images, found.maps, masks)
    return masks, int(found.forwards.sum()), int(found.backwards.sum())


@register("object-masks", reference="Zhou et al. 2016, arXiv:1512.04150")
class ObjectMasks(Analysis):
    """Masks of the object from a map of the image's class: what exceeds a share of its largest value.

    With `out` they are written as `<id>.png` in the size of the photos, for `masks=` of the edits of attributes. They
    keep what this model looks at, so that what a background costs it comes out too small.
    """

    table: ClassVar[str] = "object_masks"
    group: ClassVar[str] = "masks"
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images"})

    map: str = Field(default="gradcam", description="attribution method whose map is cut, NAME[:k=v,...]")
    threshold: float = Field(
        default=0.35, description="share of the map's largest value that a pixel exceeds", gt=0, lt=1
    )
    grabcut: bool = Field(
        default=False, description="whether GrabCut moves the edges to those of the picture (needs OpenCV)"
    )
    out: str = Field(default="", description="folder to write the masks to; empty for none")

    @override
    def find(self, subject: Subject) -> Findings:
        if self.out:
            check_mask_names(subject.samples.ids[i] for i in subject.indices)
        rows: dict[str, list[Any]] = {"id": [], "object_size": []}
        forwards = backwards = 0
        places = {subject.samples.ids[i]: i for i in subject.indices}
        oracle = Oracle(subject.model, limit=subject.batch)
        for every in subject.batches():
            batch = every[subject.keep_finite(oracle.exact(every.images), every.ids)]
            try:
                masks, ahead, back = self._masks(subject, batch)
            except NonFiniteMapError as error:  # a map does not depend on the others: without these images none is left
                wrong = {batch.ids[i] for i in error.places}
                subject.bad.update(dict.fromkeys(wrong, NOT_FINITE))
                batch = batch[torch.tensor([id not in wrong for id in batch.ids])]
                masks, ahead, back = self._masks(subject, batch)
            forwards, backwards = forwards + ahead, backwards + back
            rows["id"] += batch.ids
            rows["object_size"] += widen(masks).mean((1, 2)).tolist()
            if self.out:
                indices = [places[name] for name in batch.ids]
                write_object_masks(self.out, masks.cpu(), subject.samples, indices, subject.model.view)
        if not rows["id"]:
            raise DataError("object-masks: no image could be read and has a finite map")
        sizes = np.array(rows["object_size"])
        figures = {
            "object size": mean_figure(sizes, low=0.0, high=1.0),
            "empty masks": share(int((sizes == 0).sum()), len(sizes)),
        }
        remarks = ("Masks come from the model's own map: what a background costs this model comes out too small.",)
        return Findings(rows, figures, remarks, forwards=forwards + oracle.meter.forwards, backwards=backwards)

    def _masks(self, subject: Subject, batch: Batch) -> tuple[Tensor, int, int]:
        if not len(batch):
            return torch.empty(0, *batch.images.shape[2:], dtype=torch.bool), 0, 0
        labels = batch.labels if batch.labels is not None and batch.labels.ndim == 1 else None
        return find_objects(
            subject.model, batch.images, labels, method=self.map, threshold=self.threshold, grabcut=self.grabcut,
            ids=batch.ids, seed=subject.seed,
        )  # fmt: skip
