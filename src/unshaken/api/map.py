"""`map_of`: a map of a finished run's images, from the features that its model has of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from unshaken.api.audit import Audit
from unshaken.api.division import open_run_data
from unshaken.api.job import choose_device
from unshaken.core.batch import batch_for
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.consent import of_arguments
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, RunError
from unshaken.core.imports import need
from unshaken.core.keywords import keywords
from unshaken.core.numbers import LARGEST_BATCH, in_range
from unshaken.core.oracle import Oracle
from unshaken.core.package import public
from unshaken.core.part import CLEAN
from unshaken.core.progress import track
from unshaken.data import BadSample, Dataset, DataSource, as_dataset, stream
from unshaken.data.streaming import first_batch
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.explain.engine.layer_features import pooled
from unshaken.explain.engine.neighbours import find_neighbours
from unshaken.measure.projection import PrincipalAxes, RunningCovariance
from unshaken.models import as_classifier, fingerprint
from unshaken.report.read.frame import read_outcomes
from unshaken.report.read.map import MOST_POINTS, RECORD, MapRecord
from unshaken.report.write import make_report
from unshaken.store.config import RunConfig, read_config
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import empty_table, schema_of

POINTS = 5000
"""Images that a report draws where no number is given."""
FIRST_AXES = 50
"""Principal axes that UMAP is given."""
FEW = 3
"""Images that a map needs."""


@public()
@of_arguments
@keywords()
def map_of(
    run: str | Path | RunDir,
    *,
    model: str | nn.Module | None = None,
    data: DataSource | None = None,
    train: DataSource | None = None,
    layer: str | None = None,
    umap: bool = False,
    points: int = POINTS,
    batch_size: int | Literal["auto"] = "auto",
    workers: int | None = None,
    device: str = "auto",
    download: bool = False,
) -> Audit:
    """Map the unchanged images of a run by what its model makes of them, and show the map in its report.

    The features of each image are kept beside the run's rows, shard by shard: a call that was stopped goes on where it
    was, and another one of the same layer asks the model nothing.

    Args:
        run: directory of a run of a classifier.
        model: the run's model; default what its record names.
        data: the run's data; default what its record names.
        train: the images that the model was trained on; beside each example that the run kept its report then shows the
            nearest of them, by the same features, with its label and distance.
        layer: a name as in `net.named_modules()`, `NAME:in` for what goes into it; averaged over places. Default:
            what goes into the last linear layer; without one the last stage, and without layers the logits.
        umap: add a map by UMAP, of the first 50 principal axes, beside that of the first two.
        points: images that the report draws at most; of more, some at random.
        batch_size: images in one pass at most.
        workers: threads that decode.
        device: `auto`, `cpu`, `cuda`, `mps`.
        download: allow model and data to be fetched from their own source.

    Returns:
        The run, with its new page.

    Raises:
        RunError: there is no finished run of a classifier, or the model is another one than the run's; `train` is given
            and the run kept no examples.
        DataError: the data cannot be read, or lack samples of the run.
        ModelError: there is no such layer.
        ParameterError: a number is out of range, or an image has too many features.
        MissingExtra: `umap-learn` is absent.
    """
    place = run if isinstance(run, RunDir) else RunDir(run)
    in_range("points", points, 1, MOST_POINTS)
    if batch_size != "auto":
        in_range("batch_size", batch_size, 1, LARGEST_BATCH)
    reducer = need("umap", "umap-learn", "umap", "a map by UMAP") if umap else None
    config = read_config(place)
    if config.task != "classification":
        raise RunError(f"{place}: a map is of a run of a classifier, and this is one of {config.task}")
    if config.part is not None:
        raise RunError(f"{place}: this is part {config.part} of a run: join all parts by unshaken merge first")
    classifier = as_classifier(config.model if model is None else model, download=download).eval()
    if fingerprint(classifier) != config.model_fingerprint:
        raise RunError(f"{place}: its rows are of another model than {classifier.name!r} is now: give the run's model")
    dataset, _ = open_run_data(place, config, data, download=download)
    training = None if train is None else as_dataset(train, download=download)
    classifier = classifier.to(choose_device(device))
    with locked(place):
        name = _layer_of(classifier, dataset) if layer is None else layer
        if training is not None:
            find_neighbours(place, classifier, training, name, batch_size=batch_size, workers=workers)
        _embed(place, config, classifier, dataset, name, batch_size=batch_size, workers=workers)
        axes = _axes_of(place, config)
        ids, places = _project(place, config, axes)
        _write(place, "pca", ids, places)
        if reducer is not None:
            flat = reducer.UMAP(n_components=2, random_state=config.seed % 2**32, n_jobs=1)
            _write(place, "umap", ids, np.asarray(flat.fit_transform(places.astype(np.float32)), np.float64))
        first, second = (*axes.shares, 0.0)[:2]
        record = MapRecord(
            schema=1, layer=name, numbers=len(axes.mean), points=points, shares=(float(first), float(second)),
            projections=("pca",) if reducer is None else ("pca", "umap"),
        )  # fmt: skip
        place.write_json(record.model_dump(mode="json", by_alias=True), RECORD)
        made = make_report(place)
    return Audit(place, made.summary, made.gates, made.page)


def _layer_of(model: Classifier, dataset: Dataset) -> str:
    """The layer that a map is made of where none is named; empty for the logits."""
    if model.lacks(["features"]):
        return ""
    images = first_batch(dataset, view=model.view).images
    anatomy = Anatomy.of(model, images.to(device_of(model)))
    return anatomy.penultimate if anatomy.head else anatomy.stages[-1] if anatomy.stages else ""


def _embed(
    run: RunDir, config: RunConfig, model: Classifier, dataset: Dataset, layer: str, *, batch_size: int | str,
    workers: int | None,
) -> None:  # fmt: skip
    """Write the table `embeddings`, a file a shard; files of the same layer stay."""
    at, oracle = {name: row for row, name in enumerate(dataset.ids)}, Oracle(model)
    with evaluating(model), torch.no_grad(), track("features", len(config.ids)) as task:
        for shard in range(config.shards):
            names = config.ids[config.shard_slice(shard)]
            if _layer_kept(run, shard) != layer:
                ids, parts = list[str](), list[torch.Tensor]()
                for item in stream(dataset, [at[name] for name in names], view=model.view, workers=workers):
                    if isinstance(item, BadSample):
                        continue
                    size = batch_for(item.images, oracle.device) if batch_size == "auto" else int(batch_size)
                    for images in torch.split(item.images, size):
                        logits, outputs = oracle.forward(images.to(oracle.device), (layer,) if layer else ())
                        parts.append(pooled(outputs[layer].float() if layer else logits, "mean").cpu())
                    ids += item.ids
                _write_features(run, shard, layer, ids, parts)
            task.advance(len(names))


def _layer_kept(run: RunDir, shard: int) -> str | None:
    """The layer of the features that are kept of a shard; None without any."""
    if not run.has_rows("embeddings", CLEAN.id, shard):
        return None
    table = read_outcomes(run, CLEAN.id, [shard], ["layer"], table="embeddings")
    return table["layer"][0].as_py() if len(table) else None


def _write_features(run: RunDir, shard: int, layer: str, ids: Sequence[str], parts: Sequence[torch.Tensor]) -> None:
    """Write the features of a shard's images; those that are not finite are left out."""
    table = empty_table("embeddings")
    if parts:
        features = torch.cat(list(parts))
        good = features.isfinite().all(1)
        names = [name for name, fine in zip(ids, good.tolist(), strict=True) if fine]
        values = features[good].contiguous().numpy()
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        columns = [pa.array(names, pa.string()), pa.array([layer] * len(names), pa.string())]
        table = pa.Table.from_arrays([*columns, lists.cast(table.schema.field("features").type)], schema=table.schema)
    run.write_rows(table, "embeddings", CLEAN.id, shard)


def _features(run: RunDir, config: RunConfig) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """The kept features shard by shard: ids `[n]` and float32 `[n, D]`."""
    for shard in range(config.shards):
        table = read_outcomes(run, CLEAN.id, [shard], ["id", "features"], table="embeddings")
        if len(table):
            flat = table["features"].combine_chunks().flatten().to_numpy()
            yield table["id"].to_pylist(), flat.reshape(len(table), -1)


def _axes_of(run: RunDir, config: RunConfig) -> PrincipalAxes:
    sums: RunningCovariance | None = None
    for _, features in _features(run, config):
        sums = sums or RunningCovariance(features.shape[1])
        sums.add(features)
    if sums is None or sums.count < FEW:
        raise DataError(f"{run}: {sums.count if sums else 0} images can be used; a map needs {FEW} or more")
    return PrincipalAxes.of(sums, FIRST_AXES)


def _project(run: RunDir, config: RunConfig, axes: PrincipalAxes) -> tuple[list[str], NDArray[np.float64]]:
    """Ids, and the places of the images along the axes, `[N, k]`, k at least 2."""
    ids, parts = list[str](), list[NDArray[np.float64]]()
    for names, features in _features(run, config):
        ids += names
        parts.append(axes.project(features))
    places = np.concatenate(parts)
    return ids, np.pad(places, ((0, 0), (0, max(0, 2 - places.shape[1]))))


def _write(run: RunDir, projection: str, ids: list[str], places: NDArray[np.float64]) -> None:
    columns = {"id": ids, "projection": [projection] * len(ids), "x": places[:, 0], "y": places[:, 1]}
    run.write_rows(pa.table(columns, schema=schema_of("map")), "map", projection, 0)
