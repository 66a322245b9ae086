"""The table `scores`: one row per detector and sample."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, predict
from unshaken.core.errors import RunError
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.detect.engine.detector_set import DetectorSet, digest
from unshaken.detect.engine.screen import DetectorScores, FittedDetector

SCORES = declare_table(
    "scores",
    "id string, condition string, method string, detector string, split string, label int64, prediction int64, "
    "score double, accepted bool, forwards int64, backwards int64, seconds double, error string",
)

NORMAL = "normal"
"""The split of a run's own samples, unchanged."""


Once = Callable[[Hashable, Callable[[], Any]], Any]
"""Keeps what was made under a key; see `Context.once`."""


def detectors_of(folder: str, known: str, model: Classifier, once: Once) -> DetectorSet:
    """The detectors of a folder, as they were when the run began; read once a run and let go with it.

    Args:
        folder: of the detectors.
        known: their digest then.
        model: the one that they were fitted on.
        once: the run's `Job.once` or `Context.once`.

    Raises:
        RunError: they have changed since.
    """
    detectors: DetectorSet = once(key_of(folder, known), lambda: _read(folder, known, model))
    return detectors


def key_of(folder: str, known: str) -> Hashable:
    """The key under which a run keeps the detectors of a folder."""
    return "detectors", folder, known


def _read(folder: str, known: str, model: Classifier) -> DetectorSet:
    if digest(folder) != known:
        raise RunError(f"{folder}: the detectors are not those that the run began with; start a new run")
    return DetectorSet.load(folder, model)


def scores(
    condition: Condition,
    detector: str,
    batch: Batch,
    scored: DetectorScores,
    *,
    split: str,
    threshold: float,
    logits: Tensor,
) -> Part:
    """The `scores` rows of one detector; a score that is no number becomes its sample's `error`.

    Args:
        condition: where the rows belong.
        detector: its label.
        batch: the samples.
        scored: what it says.
        split: `normal`, or what the samples are instead, as `GROUP/NAME`.
        threshold: the largest score that is accepted.
        logits: `[N, K]`, the model's own.
    """
    value = scored.score.cpu()
    fine = value.isfinite().tolist()
    columns: dict[str, Any] = {
        "id": list(batch.ids),
        "detector": [detector] * len(batch),
        "split": [split] * len(batch),
        "prediction": predict(logits).cpu().numpy(),
        "score": [v if ok else None for v, ok in zip(value.tolist(), fine, strict=True)],
        "accepted": [a if ok else None for a, ok in zip((value <= threshold).tolist(), fine, strict=True)],
        "forwards": scored.forwards.cpu().numpy(),
        "backwards": scored.backwards.cpu().numpy(),
        "seconds": scored.seconds.cpu().numpy(),
        "error": [None if ok else f"the score is {v}" for v, ok in zip(value.tolist(), fine, strict=True)],
    }
    if batch.labels is not None:
        columns["label"] = batch.labels.cpu().numpy()
    return Part("scores", condition, columns)


def joined(parts: Sequence[Part]) -> Part:
    """The rows of several splits as those of one condition."""
    first = parts[0]
    columns = {k: [v for p in parts for v in p.columns[k]] for k in first.columns}
    return Part(first.table, first.condition, columns)


def answers(
    condition: Condition,
    batch: Batch,
    scored: DetectorScores,
    fitted: FittedDetector,
    threshold: float,
    logits: Tensor,
    **more: Any,
) -> Part:
    """The `outcomes` rows of the model behind a detector: its prediction, or class K where the sample is turned away.

    Args:
        condition: where the rows belong.
        batch: the samples.
        scored: what the detector says.
        fitted: the detector.
        threshold: the largest score that is accepted.
        logits: `[N, K]`, the model's own.
        more: further columns.

    Returns:
        With `confidence` the model's own where a sample is accepted, else the share of normal scores that are lower.
    """
    score, logits = scored.score.cpu(), logits.cpu()
    accepted = score <= threshold
    confidence, predictions = logits.softmax(1).amax(1), predict(logits)
    normal = fitted.calibration.cpu()
    lower = torch.searchsorted(normal, score.nan_to_num(torch.inf)) / max(1, len(normal))
    columns: dict[str, Any] = {
        "id": list(batch.ids),
        "prediction": torch.where(accepted, predictions, logits.shape[1]).numpy(),
        "confidence": torch.where(accepted, confidence, lower.float()).numpy(),
        **more,
    }
    if batch.labels is not None:
        labels = batch.labels.cpu()
        columns = {"label": labels.numpy(), "correct": (accepted & (predictions == labels)).numpy(), **columns}
    return Part("outcomes", condition, columns, batch.images.__getitem__)
