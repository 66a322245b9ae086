"""`representation-dimension`: intrinsic dimension of what each layer makes of the images."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.layers import DepthLayer, depth_layers
from unshaken.explain.geometry.estimators import Divisor, Estimator, Settings, dimensions
from unshaken.explain.geometry.intrinsic_dimension import BIAS
from unshaken.explain.geometry.points import GeometryRows, drawn_indices
from unshaken.measure import Figure


@register("representation-dimension", reference="Konz & Mazurowski 2024, arXiv:2401.08865")
class RepresentationDimension(Analysis):
    """Intrinsic dimension of the features of each layer, from the pixels to the last hidden one.

    Give the images that the network was trained on for the publication's quantity. Features that collapse to a few
    points have many duplicates, which are left out.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "geometry"
    several: ClassVar[bool] = True

    estimators: tuple[Estimator, ...] = Field(default=("twonn", "mle"), description="mle, twonn, geomle", min_length=1)
    k: PositiveInt = Field(default=20, description="nearest neighbours of the MLE", ge=2, le=1000)
    divisor: Divisor = Field(
        default="k-1", description="divisor of the MLE's inner sum; k-2 gives a value smaller by (k-2)/(k-1)"
    )
    most: PositiveInt = Field(default=2000, description="samples at most, drawn by the seed", le=100_000)
    draws: PositiveInt = Field(default=50, description="halves of the samples, for the interval", ge=2, le=10_000)
    layers: tuple[str, ...] = Field(
        default=(), description="layers, NAME:in for an input; empty for some over the depth"
    )
    chosen: PositiveInt = Field(
        default=6, description="layers that are chosen where none is named, beside the last one", le=1000
    )
    form: Literal["pooled", "flat"] = Field(
        default="pooled", description="mean over the places of a map, or all its values"
    )

    @override
    def find(self, subject: Subject) -> Findings:
        settings = Settings(tuple(dict.fromkeys(self.estimators)), self.k, self.divisor, self.draws, subject.seed)
        picked = replace(subject, indices=drawn_indices(subject, self.most, balanced=False))
        rows, remarks, passes = GeometryRows(), [BIAS], 0
        for name, model in subject.models.items():
            layers, points = self.features(picked, model)
            passes += len(points[0])
            for layer, values in zip([DepthLayer("", 0.0), *layers], points, strict=True):
                where = layer.name or "pixels"
                try:
                    if not len(values):
                        raise DataError("every point is infinite or not a number")
                    found, duplicates = dimensions(values, settings)
                except DataError as error:
                    rows.fail("dimension", str(error), model=name, layer=where, depth=layer.depth)
                    remarks.append(f"{name}, {where}: no dimension, as {error}.")
                    continue
                for kind, figure in found.items():
                    rows.add(f"dimension {kind}", figure, model=name, layer=where, depth=layer.depth)
                if duplicates:
                    remarks.append(f"{name}, {where}: {duplicates:,} of {len(values):,} have a duplicate.")
        subject.bad.update(picked.bad)
        return Findings(
            rows.columns, headline(rows), tuple(dict.fromkeys(remarks)), extra={"form": self.form}, forwards=passes
        )

    def features(self, subject: Subject, model: Classifier) -> tuple[list[DepthLayer], list[Tensor]]:
        """The layers, and the finite points of the pixels and of each of them, `[N, D]`.

        Raises:
            DataError: no image can be read.
        """
        layers: list[DepthLayer] = []
        parts: list[list[Tensor]] = []
        for batch in subject.batches(model.view):
            if not parts:
                layers = depth_layers(model, batch.images[:1], self.layers, most=self.chosen)
                parts = [[] for _ in range(len(layers) + 1)]
            with evaluating(model), torch.no_grad():
                _, found = model.features(batch.images, [x.name for x in layers])
            parts[0].append(batch.images.flatten(1).float().cpu())
            for part, layer in zip(parts[1:], layers, strict=True):
                points = self._flat(found[layer.name]).float().cpu()
                part.append(points[subject.keep_finite(points, batch.ids)])
        if not parts:
            raise DataError("no sample could be read: there is no geometry to look at")
        return layers, [torch.cat(part) for part in parts]

    def _flat(self, features: Tensor) -> Tensor:
        """Features of a layer as points; tokens `[N, T, D]` are pooled over T, maps `[N, D, h, w]` over places."""
        if self.form == "pooled" and features.ndim == 4:
            return features.mean((2, 3))
        if self.form == "pooled" and features.ndim == 3:
            return features.mean(1)
        return features.flatten(1)


def headline(rows: GeometryRows) -> dict[str, Figure]:
    """The dimensions of the pixels and of the last layer."""
    known = [row for row in rows.rows if row["error"] is None]
    deepest = max((row["depth"] for row in known), default=0.0)
    found = {}
    for row in known:
        if row["depth"] in (0.0, deepest):
            key = f"{row['model']}: {row['layer']}: {row['quantity']}"
            found[f"{row['quantity']}, {row['layer']}"] = rows.figures[key]
    return found
