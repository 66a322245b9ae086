"""`label-sharpness`: how fast the labels of a data set change between near images."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.geometry.points import GeometryRows, Points, drawn_indices, read_points
from unshaken.explain.geometry.sharpness import Sharpness, class_matrix, label_sharpness

_MOST_CLASSES = 30


@register("label-sharpness", reference="Konz & Mazurowski 2024, arXiv:2401.08865")
class LabelSharpness(Analysis):
    """Label sharpness K_F: 1 over the smallest distance of two images with different labels, over all such pairs.

    It grows with the number of images, which is therefore fixed, and compares only between data sets of one size of
    image, number of channels and range of pixels. The closest pair is named: it often is a wrong label or a duplicate.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "geometry"
    needs: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    most: PositiveInt = Field(default=1000, description="images in all, as many of each class", ge=2, le=100_000)
    quantile: float = Field(
        default=0.999, description="quantile of the ratios of all pairs, beside their maximum", gt=0, le=1
    )
    draws: PositiveInt = Field(default=100, description="halves of each class, for the intervals", ge=2, le=10_000)
    layer: str = Field(default="", description="layer whose features are the points; empty for pixels in [0, 1]")

    @override
    def find(self, subject: Subject) -> Findings:
        points = read_points(subject, drawn_indices(subject, self.most, balanced=True), self.layer)
        if points.labels is None:
            raise DataError("label-sharpness needs the label of each image, and this data has none")
        found = label_sharpness(
            points.values, points.labels, quantile=self.quantile, draws=self.draws, seed=subject.seed
        )
        pair = [points.ids[i] for i in found.pair]
        rows = GeometryRows()
        reason = f"images {pair[0]!r} and {pair[1]!r} are equal and have different labels"
        names = {"label sharpness": found.largest, f"label sharpness at {self.quantile:.4g}": found.quantile}
        for name, figure in names.items():
            if figure is None:
                rows.fail(name, f"infinite: {reason}", layer=self.layer)
            else:
                rows.add(name, figure, layer=self.layer)
        names_of = subject.dataset.classes if subject.dataset is not None else ()
        labels = [int(points.labels[i]) for i in found.pair]
        extra = {
            "pair": pair,
            "labels": labels,
            "classes": list(names_of)[:_MOST_CLASSES],
            "identical": found.identical,
            "pairs": found.total,
            "samples": len(points.ids),
        }
        arrays: dict[str, Tensor] = {}
        classes = int(points.labels.max()) + 1
        if not self.layer:
            arrays["pair"] = points.values[list(found.pair)].view(2, *points.shape)
        if classes <= _MOST_CLASSES:
            arrays["sharpness_of_classes"] = torch.from_numpy(class_matrix(points.values, points.labels, classes))
        remarks = self._remarks(points, found, pair)
        return Findings(rows.columns, rows.figures, remarks, arrays, extra, forwards=points.forwards)

    def _remarks(self, points: Points, found: Sharpness, pair: list[str]) -> tuple[str, ...]:
        size = f"{len(points.ids):,} images, {found.total:,} pairs with different labels; the maximum grows with both."
        closest = f"The closest two with different labels are {pair[0]!r} and {pair[1]!r}: look at them first."
        equal = f"{found.identical:,} pairs of equal images have different labels." if found.identical else ""
        return tuple(filter(None, (size, closest, equal)))
