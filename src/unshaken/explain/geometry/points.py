"""Samples as points (pixels, or features of a layer), and rows of the table `geometry`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unshaken.core.classifier import evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.engine.layers import check_layers
from unshaken.measure import Figure


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Samples as points, with their labels and ids.

    Args:
        values: float32 `[N, D]`.
        labels: int64 `[N]`; None without.
        ids: of the samples.
        forwards: passes that they took.
        shape: of one image or one feature.
    """

    values: Tensor
    labels: Tensor | None
    ids: tuple[str, ...]
    forwards: int = 0
    shape: tuple[int, ...] = ()


def read_points(subject: Subject, indices: Sequence[int] | None = None, layer: str = "") -> Points:
    """The samples of a subject as points; those that are not readable, or not finite, are noted with it.

    Args:
        subject: its samples are read once.
        indices: which of them; default all of the subject.
        layer: whose features are the points, flattened, of the first model; empty for the pixels in [0, 1].

    Raises:
        ParameterError: a layer is named and there is no model.
        ModelError: there is no such layer.
        DataError: no sample can be read and has finite values.
    """
    if layer and not subject.models:
        raise ParameterError(f"layer={layer!r}: features of a layer need a model")
    chosen = subject if indices is None else replace(subject, indices=tuple(indices))
    values, labels, ids, forwards = list[Tensor](), list[Tensor](), list[str](), 0
    shape: tuple[int, ...] = ()
    for batch in chosen.batches():
        if layer:
            check_layers(subject.model, batch.images[:1], [layer])
            with evaluating(subject.model), torch.no_grad():
                found = subject.model.features(batch.images, [layer])[1][layer]
            forwards += len(batch)
        else:
            found = batch.images
        shape = tuple(found.shape[1:])
        kept = chosen.keep_finite(found, batch.ids)
        values.append(found.flatten(1).float().cpu()[kept])
        ids += [id for id, is_kept in zip(batch.ids, kept.tolist(), strict=True) if is_kept]
        if batch.labels is not None:
            labels.append(batch.labels.cpu()[kept])
    subject.bad.update(chosen.bad)
    if not ids:
        raise DataError("no sample could be read and has finite values: there is no geometry to look at")
    labelled = torch.cat(labels) if len(labels) == len(values) else None
    return Points(torch.cat(values), labelled, tuple(ids), forwards, shape)


def drawn_indices(subject: Subject, most: int, *, balanced: bool) -> list[int]:
    """Some of a subject's samples, by the seed and their ids: the same ones in whatever order they come.

    Args:
        subject: with a data set.
        most: how many at most.
        balanced: as many of each label, as far as there are; samples without a label are left out.

    Returns:
        Indices in rising order.
    """
    indices = list(subject.indices)
    dataset = subject.dataset
    if dataset is None or (not balanced and len(indices) <= most):
        return indices
    keys = SampleRng.of(subject.seed, "geometry", [dataset.ids[i] for i in indices]).keys.tolist()
    order = [i for _, i in sorted(zip(keys, indices, strict=True))]
    if not balanced or dataset.labels is None:
        return sorted(order[:most])
    groups: dict[int, list[int]] = {}
    for i in order:
        if int(dataset.labels[i]) >= 0:
            groups.setdefault(int(dataset.labels[i]), []).append(i)
    each = most // max(1, len(groups))
    return sorted(i for group in groups.values() for i in group[:each])


class GeometryRows:
    """Collects quantities with their intervals."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.figures: dict[str, Figure] = {}

    def add(
        self, quantity: str, figure: Figure, *, model: str | None = None, layer: str = "", depth: float | None = None
    ) -> None:
        """A quantity of the data, or of a layer's features of it.

        Args:
            quantity: its name.
            figure: its value and interval.
            model: name; None for a quantity of the data alone.
            layer: name; empty for the data.
            depth: of the layer in [0, 1].
        """
        place = {"model": model, "layer": layer, "depth": depth, "quantity": quantity}
        self.rows.append(
            {**place, "value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n, "error": None}
        )
        self.figures[": ".join(filter(None, (model, layer, quantity)))] = figure

    def fail(
        self, quantity: str, error: str, *, model: str | None = None, layer: str = "", depth: float | None = None
    ) -> None:
        """A quantity that cannot be computed, with the reason."""
        place = {"model": model, "layer": layer, "depth": depth, "quantity": quantity}
        self.rows.append({**place, "value": None, "low": None, "high": None, "n": None, "error": error})

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Rows collected so far, as columns."""
        return {key: [row[key] for row in self.rows] for key in (self.rows[0] if self.rows else ())}
