"""`intrinsic-dimension`: how many directions the samples of a data set really vary in."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.geometry.estimators import Divisor, Estimator, Settings, dimensions
from unshaken.explain.geometry.points import GeometryRows, Points, drawn_indices, read_points

BIAS = "All estimators are too low in many dimensions: about 14 to 16 for points in a cube of 20."


@register("intrinsic-dimension", reference="Konz & Mazurowski 2024, arXiv:2401.08865")
class IntrinsicDimension(Analysis):
    """Intrinsic dimension of a data set by nearest neighbours: MLE, TwoNN or GeoMLE, with intervals.

    It depends on the number of samples, on k and on noise: compare data sets of one size of image and one number of
    samples.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "geometry"
    needs: ClassVar[frozenset[str]] = frozenset({"images"})

    estimators: tuple[Estimator, ...] = Field(default=("mle", "twonn"), description="mle, twonn, geomle", min_length=1)
    k: PositiveInt = Field(default=20, description="nearest neighbours of the MLE", ge=2, le=1000)
    divisor: Divisor = Field(
        default="k-1", description="divisor of the MLE's inner sum; k-2 gives a value smaller by (k-2)/(k-1)"
    )
    most: PositiveInt = Field(default=5000, description="samples at most, drawn by the seed", le=100_000)
    draws: PositiveInt = Field(default=50, description="halves of the samples, for the interval", ge=2, le=10_000)
    per_class: bool = Field(default=False, description="whether each class is measured by itself too")
    layer: str = Field(default="", description="layer whose features are the points; empty for pixels in [0, 1]")

    @override
    def find(self, subject: Subject) -> Findings:
        settings = Settings(tuple(dict.fromkeys(self.estimators)), self.k, self.divisor, self.draws, subject.seed)
        points = read_points(subject, drawn_indices(subject, self.most, balanced=False), self.layer)
        rows = GeometryRows()
        figures, duplicates = dimensions(points.values, settings)
        for name, figure in figures.items():
            rows.add(f"dimension {name}", figure, layer=self.layer)
        remarks = [BIAS]
        if duplicates:
            remarks.append(
                f"{duplicates:,} of {len(points.ids):,} samples have a duplicate among them and were left out."
            )
        if self.per_class:
            self._classes(points, subject, settings, rows)
        extra = {"samples": len(points.ids), "k": self.k, "duplicates": duplicates}
        return Findings(rows.columns, rows.figures, tuple(remarks), extra=extra, forwards=points.forwards)

    def _classes(self, points: Points, subject: Subject, settings: Settings, rows: GeometryRows) -> None:
        if points.labels is None:
            raise DataError("per_class=true needs labels, and this data has none")
        names: Any = subject.dataset.classes if subject.dataset is not None else ()
        for c in sorted(set(points.labels.tolist())):
            name = names[c] if 0 <= c < len(names) else str(c)
            try:
                found, _ = dimensions(points.values[points.labels == c], settings)
            except DataError as error:
                rows.fail(f"dimension of class {name}", str(error), layer=self.layer)
                continue
            for kind, figure in found.items():
                rows.add(f"dimension {kind} of class {name}", figure, layer=self.layer)
