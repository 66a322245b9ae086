"""The figures of a summary, each from a `Frame`: aggregates, calibration, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken import measure
from unshaken.core.classifier import NO_CLASS
from unshaken.core.part import CLEAN
from unshaken.measure.robustness.accuracy import worst_of_matrix
from unshaken.measure.robustness.corruption import corruption_error_of_matrix
from unshaken.measure.statistics.means import mean_figure
from unshaken.report import cells
from unshaken.report.read.frame import ABSENT, Frame, label_of, read_outcomes, shards_of
from unshaken.report.read.methods import Methods
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir

GROUPS = ("noise", "blur", "weather", "digital")
"""The families of the common corruptions."""

Notes = dict[str, str]


def right_under(frame: Frame, place: int) -> measure.Figure | None:
    """Accuracy under one condition, over the samples that have a label and a row; None without any."""
    column = frame.right[:, place]
    column = column[column >= 0]
    return measure.accuracy(column == 1) if len(column) else None


def consistent_under(frame: Frame, place: int) -> measure.Figure | None:
    """Share of samples whose prediction is that of the clean image; None without rows."""
    clean, column = frame.prediction[:, 0], frame.prediction[:, place]
    there = (clean != ABSENT) & (column != ABSENT)
    same = (clean == column) & (column != NO_CLASS)
    return measure.share(int(same[there].sum()), int(there.sum())) if there.any() else None


def without_prediction(frame: Frame) -> measure.Figure | None:
    """Share of the samples for which the model gave NaN or infinite values, unchanged or under any condition."""
    if not frame.ids:
        return None
    return measure.share(int((frame.prediction == NO_CLASS).any(1).sum()), len(frame.ids))


def complete(frame: Frame, columns: Sequence[int]) -> NDArray[np.int64]:
    """Places of the samples that have an outcome in all of these columns."""
    return np.flatnonzero((frame.right[:, np.asarray(columns)] >= 0).all(1))


def worst_case(frame: Frame, columns: Sequence[int]) -> measure.WorstCase | None:
    """The worst of these conditions, sample by sample, over samples that have all of them."""
    if not len(rows := complete(frame, columns)):
        return None
    right = frame.right[np.ix_(rows, np.asarray(columns))] == 1
    return worst_of_matrix(right, [frame.conditions[j].id for j in columns], rows)


def corruption_figures(frame: Frame, config: RunConfig, classes: int, methods: Methods) -> tuple[dict[str, Any], Notes]:
    """Mean error, mCE, relative mCE and the means of the families, or in notes why not.

    Only the benchmark's corruptions as the plan names them first count; a second line of one is shown by itself.

    Args:
        frame: the outcomes.
        config: of the run.
        classes: of the model.
        methods: of the run.
    """
    names = ["mean_error", "mce", "relative_mce", *(f"mean_error_{g}" for g in GROUPS)]
    columns = [
        j
        for j, c in enumerate(frame.conditions)
        if c.severity is not None and c.method in measure.BENCHMARK and label_of(c) == c.method
    ]
    rows = complete(frame, [0, *columns]) if columns else np.zeros(0, np.int64)
    if not len(rows):
        reason = "no labels" if not frame.labelled else "no common corruption was run on a sample to its end"
        return dict.fromkeys(names), dict.fromkeys(names, reason)
    whole = _corruptions(frame, rows, columns, config, classes)
    figures: dict[str, Any] = {
        "mean_error": whole.mean_error,
        "mce": whole.mce,
        "relative_mce": whole.relative_mce,
    }
    notes = {"mce": whole.without_mce, "relative_mce": whole.without_relative_mce}
    for group in GROUPS:
        members = [j for j in columns if methods.family(frame.conditions[j].method) == group]
        name = f"mean_error_{group}"
        figures[name] = _corruptions(frame, rows, members, config, classes).mean_error if members else None
        if not members:
            notes[name] = f"no {group} corruption was run"
    return figures, {k: v for k, v in notes.items() if v}


def _corruptions(
    frame: Frame, rows: NDArray[np.int64], columns: list[int], config: RunConfig, classes: int
) -> measure.CorruptionError:
    # AlexNet's errors are the unit for a thousand classes that start with ImageNet's first, if they have names.
    first = config.classes[0].lower() if config.classes else ""
    imagenet = classes == 1000 and (not first or first.startswith(("tench", "n01440764")))
    cells = {(c.method, c.severity or 0): j for j in columns if (c := frame.conditions[j])}
    ordered = sorted(cells)
    return corruption_error_of_matrix(
        ordered,
        frame.right[np.ix_(rows, np.array([cells[cell] for cell in ordered]))] != 1,
        clean_wrong=frame.right[rows, 0] != 1,
        imagenet=imagenet,
        not_comparable=not_comparable(config),
    )


def not_comparable(config: RunConfig) -> dict[str, str]:
    """Corruptions of the plan that differ from the published ones, with the reason."""
    reasons: dict[str, str] = {}
    for entry in reversed(config.plan):
        if entry.method not in measure.BENCHMARK:
            continue
        reasons.pop(entry.method, None)
        if any(name.rpartition("-")[0] == entry.method for name in config.from_files):
            continue  # they are the published ones
        preset = entry.params.get("preset", "auto")
        if entry.method == "frost" and not entry.params.get("textures"):
            reasons["frost"] = "its ice is drawn by rule; give the authors' photos as textures"
        elif preset not in ("auto", "imagenet"):
            reasons[entry.method] = f"made with the strengths for {preset} images"
        elif not entry.params.get("truncate", True):
            reasons[entry.method] = "not cut to 8 bits"
    return reasons


def calibration(frame: Frame, run: RunDir) -> tuple[measure.CalibrationError | None, measure.Figure | None, int, str]:
    """Calibration error and Brier score on the clean images, the number of classes, and why not, where not."""
    labelled, finite = frame.right[:, 0] >= 0, np.isfinite(frame.confidence)
    classes, terms = brier_terms(frame, run)
    terms = terms[np.isfinite(terms)]
    if not labelled.any():
        return None, None, classes, "no labels"
    use = labelled & finite
    if not use.any():
        return None, None, classes, "no finite confidence"
    error = measure.calibration_error(frame.confidence[use].clip(0, 1), frame.right[use, 0] == 1)
    note = (
        f"left out for lack of a finite confidence: {cells.counted(int((labelled & ~finite).sum()), 'sample')}"
        if not finite.all()
        else ""
    )
    if not len(terms):
        return error, None, classes, note
    brier = mean_figure(terms, low=0.0, high=max(2.0, float(terms.max())))
    return error, brier, classes, note


def count_classes(run: RunDir) -> int:
    """How many classes the model has, from the first logits that are there; 0 without any."""
    for shard in shards_of(run, CLEAN.id):
        logits = read_outcomes(run, CLEAN.id, [shard], ["logits"])["logits"].drop_null()
        if len(logits):
            return len(logits[0])
    return 0


def brier_terms(frame: Frame, run: RunDir) -> tuple[int, NDArray[np.float64]]:
    """The number of classes, and `sum_k (p_k - 1[y = k])^2` `[N]`, NaN where a sample has no label or finite logits."""
    classes, terms = 0, np.full(len(frame.ids), np.nan)
    for shard in shards_of(run, CLEAN.id):
        table = read_outcomes(run, CLEAN.id, [shard], ["id", "label", "logits", "error"])
        table = table.filter(pc.and_(pc.is_null(table["error"]), pc.is_valid(table["logits"])))
        if not len(table):
            continue
        logits = table["logits"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        labels = table["label"].fill_null(-1).to_numpy()
        classes = logits.shape[1]
        use = (labels >= 0) & (labels < classes) & np.isfinite(logits).all(1)
        if use.any():
            p, y = measure.softmax(logits[use]), labels[use]
            terms[frame.places.of(table["id"], shard)[use]] = (p**2).sum(1) - 2 * p[np.arange(len(y)), y] + 1
    return classes, terms


def by_class(frame: Frame, names: Sequence[str], worst: Mapping[str, measure.WorstCase | None]) -> list[dict[str, Any]]:
    """Accuracy of each class that has a sample, on clean images and in worst cases.

    Args:
        frame: the outcomes.
        names: of the classes.
        worst: key of the result to a worst case.
    """
    rows = np.flatnonzero((frame.right[:, 0] >= 0) & (frame.labels >= 0))
    if not len(rows):
        return []
    clean = measure.accuracy_by_class(frame.right[rows, 0] == 1, frame.labels[rows])
    least = {
        key: measure.accuracy_by_class(w.correct, frame.labels[np.array(w.ids, np.int64)]) if w else {}
        for key, w in worst.items()
    }
    return [
        {
            "class": k,
            "name": names[k] if 0 <= k < len(names) else str(k),
            "clean": figure.to_json(),
            **{key: found[k].to_json() if k in found else None for key, found in least.items()},
        }
        for k, figure in clean.items()
    ]
