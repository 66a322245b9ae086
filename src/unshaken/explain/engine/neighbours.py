"""The nearest training images of the examples that a run kept, by the features that its model has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import batch_for
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, RunError
from unshaken.core.oracle import Oracle
from unshaken.core.part import CLEAN
from unshaken.core.progress import track
from unshaken.data import BadSample, Dataset, stream
from unshaken.explain.engine.layer_features import pooled
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

NEIGHBOURS_RECORD = "neighbours.json"
"""The nearest training image of each kept example, by condition and id."""
NEIGHBOURS_IMAGES = "neighbours.safetensors"
"""These training images, float32 `[N, C, H, W]`, under their ids."""


@dataclass(slots=True, eq=False)
class NearestRows:
    """The nearest of rows that come in blocks; of equally near ones the first.

    Args:
        queries: features `[Q, D]`.
        distance: of each query's nearest row, float64 `[Q]`.
        row: number of that row, int64 `[Q]`; -1 for none.
    """

    queries: Tensor
    distance: Tensor
    row: Tensor

    @classmethod
    def of(cls, queries: Tensor) -> NearestRows:
        """Nothing is near yet: all distances are infinite, all rows -1."""
        infinite = torch.full((len(queries),), torch.inf, device=queries.device, dtype=torch.float64)
        return cls(queries, infinite, torch.full((len(queries),), -1, device=queries.device))

    def add(self, features: Tensor, first: int) -> None:
        """Look at more rows.

        Args:
            features: `[N, D]`; a row that is not finite is near to nothing.
            first: number of the first row.
        """
        differences = torch.cdist(self.queries, features, compute_mode="donot_use_mm_for_euclid_dist").double()
        least, place = differences.nan_to_num(torch.inf, torch.inf).min(1)
        nearer = least < self.distance
        self.distance = torch.where(nearer, least, self.distance)
        self.row = torch.where(nearer, place + first, self.row)


def find_neighbours(
    run: RunDir, model: Classifier, train: Dataset, layer: str, *, batch_size: int | str = "auto",
    workers: int | None = None,
) -> None:  # fmt: skip
    """Find the nearest training image of each kept example, as it was changed and unchanged, and keep them in the run.

    The distance is Euclidean, between the features of a layer, averaged over places.

    Args:
        run: that kept examples.
        model: of the run.
        train: the images that the model was trained on.
        layer: name of the layer; empty for the logits.
        batch_size: images in one pass at most.
        workers: threads that decode.

    Raises:
        RunError: the run kept no examples.
        DataError: no training image can be used, or they have another size than the run's.
    """
    names = [f.rpartition("-")[0] for f in run.names("examples", suffix=".safetensors")]
    kept = {name: run.examples(name) for name in dict.fromkeys(names)}
    places = [(condition, i) for condition, images in kept.items() for i in images]
    if not places:
        raise RunError(f"{run}: it kept no examples to find neighbours of; audit again with --save-examples 20")
    shape = tuple(kept[places[0][0]][places[0][1]].shape)
    with evaluating(model), torch.no_grad():
        nearest = NearestRows.of(torch.cat([_of(model, layer, kept[c][i][None]) for c, i in places]))
        rows = _look_at_all(nearest, model, train, layer, shape, batch_size=batch_size, workers=workers)
    found = [(rows[row], d) for row, d in zip(nearest.row.tolist(), nearest.distance.tolist(), strict=True) if row >= 0]
    if len(found) < len(places):
        raise DataError(f"{train.options.spec}: none of its {len(train):,} images can be compared with the examples")
    conditions: dict[str, dict[str, Any]] = {}
    for (condition, i), (row, distance) in zip(places, found, strict=True):
        neighbour = {"id": train.ids[row], "label": _label(train, row), "distance": distance}
        conditions.setdefault(condition, {})[i] = neighbour
    wanted = sorted({row for row, _ in found})
    batches = [b for b in stream(train, wanted, view=model.view, workers=workers) if not isinstance(b, BadSample)]
    ids = [i for b in batches for i in b.ids]
    run.write_tensors(TensorFile({"images": torch.cat([b.images for b in batches])}, ids), NEIGHBOURS_IMAGES)
    usual = [one["distance"] for one in conditions.get(CLEAN.id, {}).values()]
    median = float(torch.tensor(usual, dtype=torch.float64).quantile(0.5)) if usual else None
    record = {"train": train.options.spec, "images": len(rows), "layer": layer, "median": median}
    run.write_json({"schema": 1, **record, "conditions": conditions}, NEIGHBOURS_RECORD)


def _look_at_all(
    nearest: NearestRows, model: Classifier, train: Dataset, layer: str, shape: tuple[int, ...], *,
    batch_size: int | str, workers: int | None,
) -> Sequence[int]:  # fmt: skip
    """Compare with all training images; returns the place in the data of each row that was looked at."""
    rows, at = list[int](), {name: row for row, name in enumerate(train.ids)}
    with track("training images", len(train)) as task:
        for item in stream(train, view=model.view, workers=workers):
            if isinstance(item, BadSample):
                task.advance()
                continue
            if tuple(item.images.shape[1:]) != shape:
                raise DataError(
                    f"{train.options.spec}: its images are {tuple(item.images.shape[1:])}, channels, height and width, "
                    f"and the run's examples are {shape}: give the training images as the model was given them"
                )
            size = batch_for(item.images, nearest.queries.device) if batch_size == "auto" else int(batch_size)
            features = torch.cat([_of(model, layer, images) for images in torch.split(item.images, size)])
            nearest.add(features, len(rows))
            rows += [at[name] for name in item.ids]
            task.advance(len(item.ids))
    return rows


def _of(model: Classifier, layer: str, images: Tensor) -> Tensor:
    """Features `[N, D]` of images, float32."""
    oracle = Oracle(model)
    logits, outputs = oracle.forward(images.float().to(oracle.device), (layer,) if layer else ())
    return pooled(outputs[layer].float() if layer else logits.float(), "mean")


def _label(train: Dataset, row: int) -> str | None:
    """The label of a training image in words; None where it has none."""
    label = -1 if train.labels is None else int(train.labels[row])
    if label < 0:
        return None
    return train.classes[label] if label < len(train.classes) else f"class {label}"


def read_neighbours(run: RunDir) -> tuple[Mapping[str, Any], Mapping[str, Tensor]] | None:
    """The record of a run's neighbours, and their images by id; None where nobody looked for them."""
    if not run.exists(NEIGHBOURS_RECORD):
        return None
    record: Mapping[str, Any] = run.read_json(NEIGHBOURS_RECORD)
    file = run.read_tensors(NEIGHBOURS_IMAGES)
    return record, dict(zip(file.ids, file.tensors["images"], strict=True))
