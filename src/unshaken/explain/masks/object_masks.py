"""Object masks: where a model looks for the class of each image, as files for edits of attributes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.data.object_masks import check_mask_names, write_object_masks
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.map_masks import find_objects
from unshaken.measure import share
from unshaken.measure.statistics.means import mean_figure


@register("object-masks", reference="Zhou et al. 2016, arXiv:1512.04150")
class ObjectMasks(Analysis):
    """Masks of the object from a map of the image's class: what exceeds a share of its largest value.

    With `out` they are written as `<id>.png` in the size of the photos, for `masks=` of the edits of attributes. They
    keep what this model looks at, so that what a background costs it comes out too small.
    """

    table: ClassVar[str] = "object_masks"
    group: ClassVar[str] = "masks"
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images"})

    map: str = Field("gradcam", description="attribution method whose map is cut, NAME[:k=v,...]")
    threshold: float = Field(0.35, description="share of the map's largest value that a pixel exceeds", gt=0, lt=1)
    grabcut: bool = Field(False, description="whether GrabCut moves the edges to those of the picture (needs OpenCV)")
    out: str = Field("", description="folder to write the masks to; empty for none")

    @override
    def find(self, subject: Subject) -> Findings:
        if self.out:
            check_mask_names(subject.samples.ids[i] for i in subject.indices)
        rows: dict[str, list[Any]] = {"id": [], "object_size": []}
        forwards = backwards = 0
        places = {subject.samples.ids[i]: i for i in subject.indices}
        for batch in subject.batches():
            labels = batch.labels if batch.labels is not None and batch.labels.ndim == 1 else None
            masks, ahead, back = find_objects(
                subject.model, batch.images, labels, method=self.map, threshold=self.threshold, grabcut=self.grabcut,
                ids=batch.ids, seed=subject.seed,
            )  # fmt: skip
            forwards, backwards = forwards + ahead, backwards + back
            rows["id"] += batch.ids
            rows["object_size"] += widen(masks).mean((1, 2)).tolist()
            if self.out:
                indices = [places[name] for name in batch.ids]
                write_object_masks(self.out, masks.cpu(), subject.samples, indices, subject.model.view)
        sizes = np.array(rows["object_size"])
        figures = {
            "object size": mean_figure(sizes, low=0.0, high=1.0),
            "empty masks": share(int((sizes == 0).sum()), len(sizes)),
        }
        remarks = ("Masks come from the model's own map: what a background costs this model comes out too small.",)
        return Findings(rows, figures, remarks, forwards=forwards, backwards=backwards)
