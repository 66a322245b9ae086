"""`evaluate`: a model's fairness indicators over a user's groups, as rows in a run directory."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.oracle import Oracle
from unshaken.core.part import Condition, Part
from unshaken.core.progress import track
from unshaken.data.streaming import stream
from unshaken.explain.engine.layer_features import pooled
from unshaken.harden.engine.layers import last_layer
from unshaken.models import fingerprint, load_model
from unshaken.store.lock import locked
from unshaken.store.output import check_folder
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of
from unshaken.tasks.fairness.figures import RECORD, TABLE, FairnessReport, Settings, read_report
from unshaken.tasks.fairness.group_file import GroupFile, read_groups

BATCH = 64
PIECE = 512
"""Queries that are compared with all images at once."""
Labels = Collection[str]


def evaluate(
    model: str | Classifier, data: str | Path | GroupFile, *, out: str | os.PathLike[str] | None = None,
    concepts: Mapping[str, Labels] | None = None, sets: Mapping[str, Labels] | None = None, top: int = 5,
    thresholds: Sequence[float] = (0.0, 0.1, 0.25, 0.5), depths: Sequence[int] = (1, 5, 10, 50), layer: str = "",
    least: int = 30, seed: int = 0,
) -> FairnessReport:  # fmt: skip
    """Evaluate how a model's answers differ between groups of images.

    Four indicators: accuracy and hit rate by group, for images with a label (a hit: the label, or one that stands for
    it, is among the first `top`); association with sets of labels by group, at each threshold; labels that are
    commoner in a group than in others; and the share of nearest images, by the cosine of frozen features, that are of
    the query's own group (images of the same subject left out).

    Args:
        model: a SPEC or a classifier.
        data: a CSV file (see `read_groups`), or what that gives.
        out: a new run directory, of which `unshaken report DIR` makes a page; None keeps rows in memory.
        concepts: a label of the data to the classes of the model that stand for it, or to none if its images count as
            never recognised; default the class of its name.
        sets: name of a set to classes of the model, such as `{"animal": ["slug", "swine"]}`.
        top: predicted classes that count.
        thresholds: probabilities from which a predicted class counts as an association.
        depths: numbers of neighbours; none for no retrieval.
        layer: whose output are the features; default what goes into the last linear layer.
        least: subjects below which a group is flagged as small.
        seed: of the intervals' draws.

    Raises:
        ParameterError: an option is out of range, classes of `sets` or `concepts` are unknown to the model, or a label
            of the data is, without a concept.
        DataError: the file is damaged, has one group, or no image of it can be read.
        ModelError: the model has no such layer.
        RunError: the directory holds such rows already.
    """
    if min(top, least, *depths) < 1 or any(not 0 <= t <= 1 for t in thresholds):
        raise ParameterError("top, least and depths must be at least 1, and thresholds lie in [0, 1]")
    check_folder(out, "out", (RECORD, "run.lock"))
    run = None if out is None else RunDir(out)
    if run is not None:
        _refuse_other(run)
    classifier = load_model(model) if isinstance(model, str) else model
    table = data if isinstance(data, GroupFile) else read_groups(data)
    settings = Settings(
        model=model if isinstance(model, str) else classifier.name,
        model_fingerprint=fingerprint(classifier),
        data=str(table.file),
        data_fingerprint=table.fingerprint_of_groups,
        columns=list(table.divided_by),
        sets={name: sorted(set(labels)) for name, labels in (sets or {}).items()},
        top=top,
        thresholds=[float(t) for t in thresholds],
        depths=sorted({int(k) for k in depths}),
        least=least,
        seed=seed,
        provenance=provenance(),
    )
    rows, settings.bad_samples = _rows(classifier, table, concepts, settings, layer)
    if run is None:
        return FairnessReport(rows, settings)
    with locked(run):
        _refuse_other(run)
        run.write_rows(rows, TABLE, "clean", 0)
        run.write_json(settings.model_dump(mode="json"), RECORD)
    return read_report(run)


def _refuse_other(run: RunDir) -> None:
    if run.exists(RECORD) or run.names("rows", TABLE):
        raise RunError(f"{run}: holds fairness indicators already; choose another directory")


def _rows(
    model: Classifier, table: GroupFile, concepts: Mapping[str, Labels] | None, settings: Settings, layer: str
) -> tuple[pa.Table, list[dict[str, str]]]:
    """The rows of all images that can be used, and the reasons of the others."""
    name = (layer or f"{last_layer(model.net)}:in") if settings.depths else ""
    logits, features, ids, bad = _answers(model, table, name)
    place = {id: i for i, id in enumerate(table.ids)}
    kept = [place[id] for id in ids]
    names = list(model.classes) or [str(i) for i in range(logits.shape[1])]
    wanted = _wanted(table, kept, names, concepts)
    _check_known({label for labels in settings.sets.values() for label in labels}, names, "sets")
    best = logits.softmax(1).topk(min(settings.top, logits.shape[1]), dim=1)
    labels = [[names[i] for i in row] for row in best.indices.tolist()]
    groups = [table.groups[i] for i in kept]
    subjects = [table.subjects[i] for i in kept]
    near: list[Any] = [None] * len(kept)
    if name:
        near = _neighbours(features, groups, subjects, max(settings.depths))
    columns = {
        "id": ids,
        "group": groups,
        "subject": subjects,
        "given": [table.given[i] or None for i in kept],
        "correct": [None if w is None else row[0] in w for row, w in zip(labels, wanted, strict=True)],
        "hit": [None if w is None else not w.isdisjoint(row) for row, w in zip(labels, wanted, strict=True)],
        "top_labels": labels,
        "top_scores": best.values.tolist(),
        "neighbour_groups": near,
    }
    return table_of(Part(TABLE, Condition("clean", "clean"), columns)), bad


def _answers(model: Classifier, table: GroupFile, layer: str) -> tuple[Tensor, Tensor, list[str], list[dict[str, str]]]:
    """Logits, features and ids of the images that can be read, and the reasons of the others."""
    oracle, logits, features, ids = Oracle(model, limit=BATCH), [], [], list[str]()
    bad = [{"id": table.ids[i], "reason": why} for i, why in table.bad.items()]
    good = [i for i in range(len(table)) if i not in table.bad]
    with evaluating(model), torch.no_grad(), track("images", len(good)) as task:
        for found in stream(table, good, view=model.view, batch_size=BATCH):
            if not isinstance(found, Batch):
                bad.append({"id": found.id, "reason": found.reason})
                continue
            answers, outputs = oracle.forward(found.images.to(oracle.device), (layer,) if layer else ())
            logits.append(answers.float().cpu())
            features.append(pooled(outputs[layer].float(), "mean").cpu() if layer else answers[:, :0].cpu())
            ids += found.ids
            task.advance(len(found))
    finite = torch.ones(0, dtype=torch.bool)
    if ids:
        whole, vectors = torch.cat(logits), torch.cat(features)
        finite = whole.isfinite().all(1) & vectors.isfinite().all(1)
        lost = [name for name, fine in zip(ids, finite.tolist(), strict=True) if not fine]
        bad += [{"id": name, "reason": "the model's output is not finite"} for name in lost]
    if not bool(finite.any()):
        why = f"{bad[0]['id']}: {bad[0]['reason']}"
        raise DataError(f"{table.file}: none of its {len(table)} images can be used; {why}")
    kept = [name for name, fine in zip(ids, finite.tolist(), strict=True) if fine]
    return whole[finite], vectors[finite], kept, bad


def _wanted(
    table: GroupFile, kept: Sequence[int], names: Sequence[str], concepts: Mapping[str, Labels] | None
) -> list[set[str] | None]:
    """The classes that stand for each image's label; None for an image without a label.

    Raises:
        ParameterError: a label of the data is no class of the model, and no concept says what stands for it.
    """
    given = {table.given[i] for i in kept} - {""}
    if not given:
        return [None] * len(kept)
    own = {label: set((concepts or {}).get(label, {label})) for label in given}
    _check_known({name for label in concepts or {} for name in own.get(label, ())}, names, "concepts")
    lost = sorted(label for label, classes in own.items() if classes and classes.isdisjoint(names))
    if lost:
        raise ParameterError(
            f"{len(lost)} of the {len(given)} labels of {table.file}, such as {lost[0]!r}, are no class of the model, "
            f"such as {names[0]!r}: give concepts, a label to the classes that stand for it, or to none if it should "
            "count as never recognised"
        )
    return [own[table.given[i]] if table.given[i] else None for i in kept]


def _check_known(labels: set[str], names: Sequence[str], what: str) -> None:
    if unknown := sorted(labels - set(names)):
        raise ParameterError(f"{what}: the model has no class {unknown[0]!r}; its {len(names)} begin with {names[0]!r}")


def _neighbours(features: Tensor, groups: Sequence[str], subjects: Sequence[str], depth: int) -> list[list[str]]:
    """Groups of the nearest images of other subjects, nearest first, one list an image."""
    unit = F.normalize(widen(features), dim=1)
    owners = torch.from_numpy(np.unique(np.array(subjects), return_inverse=True)[1].astype(np.int64))
    others = len(owners) - int(torch.bincount(owners).max())
    found: list[list[str]] = []
    for part in torch.split(torch.arange(len(unit)), PIECE):
        cosines = unit[part] @ unit.T
        cosines[owners[part][:, None] == owners[None]] = -2
        found += [[groups[i] for i in row] for row in largest(cosines, min(depth, others))]
    return found


def largest(values: Tensor, count: int) -> list[list[int]]:
    """Places of the largest values of each row, the largest first and of equal ones the first: a stable sort, cut.

    Args:
        values: `[N, M]`, finite.
        count: up to M.
    """
    if not count:
        return [[] for _ in values]
    found = []
    for row, least in zip(values, values.topk(count, dim=1).values[:, -1], strict=True):
        places = (row >= least).nonzero()[:, 0]
        order = row[places].sort(descending=True, stable=True).indices[:count]
        found.append(places[order].tolist())
    return found
