"""`find_labels_of_kind`: wrong labels of several classes, boxes and masks, from predictions that are there already."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unshaken.api.job import default_out
from unshaken.api.label_record import RECORD, refuse_others
from unshaken.core.errors import DataError, ParameterError, RunError, did_you_mean
from unshaken.core.options import LABEL_RECORDS
from unshaken.core.part import Condition
from unshaken.labels.engine.label_files import read_array, read_boxes, read_multi_label
from unshaken.labels.engine.rows import kind_rows, part_rows
from unshaken.labels.find.boxes import KINDS as MISTAKES
from unshaken.labels.find.boxes import BoxScores, find_boxes
from unshaken.labels.find.masks import MaskScores, find_masks
from unshaken.labels.find.multi_label import MultiLabelScores, find_multi_label
from unshaken.measure.statistics.columns import Flags
from unshaken.report.pages.label_kinds import LABEL_KINDS
from unshaken.report.render.notebook import render_notebook
from unshaken.store.lock import locked
from unshaken.store.output import check_folder
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

PIXELS = "pixels.npz"
"""The flagged pixels of masks, bool `[N, H, W]` as `flagged`."""
Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class KindResult:
    """Result for labels of one kind.

    Args:
        run: the directory: `labels.json`, the rows `labels` and `label_parts`, and a report.
        ids: of the samples.
        found: their scores.
        summary: what `labels.json` holds.
    """

    run: RunDir
    ids: tuple[str, ...] = field(repr=False)
    found: MultiLabelScores | BoxScores | MaskScores = field(repr=False)
    summary: dict[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        return render_notebook(LABEL_KINDS.page_of(self.run), f"{str(self.run).rstrip('/')}/report.html")


def find_labels_of_kind(
    kind: str,
    labels: str | Path,
    predictions: str | Path,
    *,
    classes: Sequence[str] = (),
    out: str | Path | None = None,
) -> KindResult:
    """Find wrong labels that are not one class an image.

    Args:
        kind: `multilabel`, `boxes` or `masks`.
        labels: a file: for `multilabel` an array `[N, K]` of 0 and 1, or JSON with a list of classes for each sample;
            for `boxes` JSON (see `unshaken.labels.engine.label_files.read_boxes`); for `masks` an array `[N, H, W]`,
            255 where a pixel is not to count. Arrays are `.npy` or `.npz`.
        predictions: a file of out-of-sample predictions: probabilities `[N, K]`; JSON; probabilities `[N, K, H, W]`.
        classes: names, for the page.
        out: the run directory; default `runs/` and a name.

    Raises:
        ParameterError: there is no such kind.
        DataError: a file cannot be read, or labels and predictions do not fit one another.
        RunError: the directory holds a search already, or what another command made.
    """
    if kind not in _FIND:
        raise ParameterError(f"no kind of labels {kind!r}; {did_you_mean(kind, _FIND)}")
    check_folder(out, "out", LABEL_RECORDS)
    run = RunDir(out or default_out("labels", str(labels), "find"))
    with locked(run):
        if run.exists(RECORD):
            raise RunError(f"{run}: already holds a search for wrong labels; choose another --out")
        refuse_others(run)
        search = _FIND[kind](labels, predictions)
        names = list(classes) or [str(k) for k in range(search.classes)]
        if len(names) != search.classes:
            raise DataError(f"{len(names)} class names are given, and there are {search.classes} classes")
        found, condition = search.found, Condition(kind, kind)
        whole = kind_rows(condition, search.ids, found.score, search.flagged)
        for part in (whole, part_rows(condition, search.parts)):
            if len(part.columns["id"]):
                run.write_rows(table_of(part), part.table, kind, 0)
        if isinstance(found, MaskScores):
            packed = io.BytesIO()
            np.savez_compressed(packed, flagged=found.flagged)
            run.write(packed.getvalue(), PIXELS)
        record = {
            "schema": 1, "kind": kind, "settings": {"labels": str(labels), "predictions": str(predictions)},
            "samples": len(search.ids), "classes": names, "flagged": int(search.flagged.sum()),
            "by_class": search.by_class, "pairs": search.pairs, "provenance": provenance(), "finished": True,
        }  # fmt: skip
        run.write_json(record, RECORD)
        LABEL_KINDS.write(run)
    return KindResult(run, search.ids, found, record)


@dataclass(frozen=True, slots=True)
class _Search:
    """Results of a search of one kind of labels.

    Args:
        ids: of the samples.
        classes: their number K.
        found: scores.
        flagged: which samples are taken for wrong, bool `[N]`.
        parts: columns of `label_parts`.
        by_class: of each class how many labels it has, and how many are flagged.
        pairs: given class, suggested class, number; the most frequent first.
    """

    ids: tuple[str, ...]
    classes: int
    found: Any
    flagged: Flags
    parts: Columns
    by_class: list[dict[str, int]]
    pairs: list[list[int]]


def _multi_label(labels: str | Path, predictions: str | Path) -> _Search:
    probabilities = read_array(predictions)
    classes = probabilities.shape[1] if probabilities.ndim == 2 else 0
    given = np.asarray(read_multi_label(labels, classes))
    found = find_multi_label(given, probabilities)
    rows, kinds = np.nonzero(found.class_flagged)
    has = given[rows, kinds].astype(bool)
    ids = tuple(str(i) for i in range(len(given)))
    parts = {
        "id": [ids[i] for i in rows], "part": kinds.tolist(),
        "issue": np.where(has, "given, probably wrong", "missing").tolist(),
        "given": [k if h else None for k, h in zip(kinds.tolist(), has.tolist(), strict=True)],
        "suggested": [None if h else k for k, h in zip(kinds.tolist(), has.tolist(), strict=True)],
        "score": found.class_scores[rows, kinds].tolist(), "flagged": [True] * len(rows),
    }  # fmt: skip
    by_class = [
        {"labels": int(g.sum()), "wrong": int((f & (g == 1)).sum()), "missing": int((f & (g == 0)).sum())}
        for g, f in zip(given.T, found.class_flagged.T, strict=True)
    ]
    return _Search(ids, classes, found, found.flagged, parts, by_class, [])


def _boxes(labels: str | Path, predictions: str | Path) -> _Search:
    images, classes, names = read_boxes(labels, predictions)
    found = find_boxes(images, classes)
    parts: Columns = {k: [] for k in ("id", "part", "issue", "given", "suggested", "score", "flagged")}
    by_class = [{"labels": 0, **dict.fromkeys((m.replace(" ", "_") for m in MISTAKES), 0)} for _ in range(classes)]
    for i, (name, image) in enumerate(zip(names, images, strict=True)):
        for label in image.labels.tolist():
            by_class[label]["labels"] += 1
        kinds = (image.predicted_labels, image.labels, image.labels)
        scores = (found.overlooked[i], found.badly_placed[i], found.wrong_class[i])
        for mistake, own, score, flags in zip(MISTAKES, kinds, scores, found.flags[i], strict=True):
            for place in np.flatnonzero(~np.isnan(score)).tolist():
                label = int(own[place])
                by_class[label][mistake.replace(" ", "_")] += bool(flags[place])
                predicted = mistake == MISTAKES[0]
                values = name, place, mistake, None if predicted else label, label if predicted else None
                row = (*values, float(score[place]), bool(flags[place]))
                for column, value in zip(parts.values(), row, strict=True):
                    column.append(value)
    return _Search(tuple(names), classes, found, found.flagged, parts, by_class, [])


def _masks(labels: str | Path, predictions: str | Path) -> _Search:
    probabilities = read_array(predictions)
    found = find_masks(read_array(labels), probabilities)
    classes, counts = probabilities.shape[1], found.counts
    flat = [(i, *row) for i, pairs in enumerate(found.pairs) for row in pairs.tolist()]
    ids = tuple(str(i) for i in range(len(found.score)))
    parts = {
        "id": [ids[i] for i, *_ in flat], "issue": ["pixels"] * len(flat), "given": [g for _, g, _, _ in flat],
        "suggested": [p for _, _, p, _ in flat], "pixels": [n for *_, n in flat], "flagged": [True] * len(flat),
    }  # fmt: skip
    by_class = [{"labels": int(n), "wrong": int(w)} for n, w in zip(found.labelled, counts.sum(1), strict=True)]
    order = [(int(counts[g, p]), int(g), int(p)) for g, p in zip(*np.nonzero(counts), strict=True)]
    pairs = [[g, p, n] for n, g, p in sorted(order, key=lambda row: -row[0])]
    flagged = np.asarray(found.flagged.any((1, 2)))
    return _Search(ids, classes, found, flagged, parts, by_class, pairs)


_FIND: Mapping[str, Callable[[str | Path, str | Path], _Search]] = {
    "multilabel": _multi_label,
    "boxes": _boxes,
    "masks": _masks,
}
