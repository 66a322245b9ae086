"""`estimate_wrong`: how many labels are wrong, from what people said of the samples drawn for review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unshaken.api.label_record import RECORD, ReviewRecord
from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.labels.engine.review_sample import ReviewSample, check_verdicts, read_verdicts
from unshaken.measure import Figure
from unshaken.store.run_dir import RunDir

ESTIMATE = "estimate.json"


def estimate_wrong(run: str | Path | RunDir, verdicts: str | Path | Mapping[str, str]) -> Figure:
    """The share of wrong labels in the whole set, from what people said of the samples drawn for review.

    The lower end takes every unclear sample for right, the upper end for wrong; the value leaves half of them.

    Args:
        run: the directory of `find_labels`.
        verdicts: a CSV file with the columns `id` and `verdict`: right, wrong or unclear; or these words by id.

    Raises:
        RunError: there is no finished search with a sample to review.
        DataError: the verdicts cannot be read or are not whole.
    """
    folder = run if isinstance(run, RunDir) else RunDir(run)
    record = folder.read_json(RECORD) if folder.exists(RECORD) else {}
    drawn = record.get("review") if isinstance(record, dict) else record
    if drawn is None:
        raise RunError(f"{folder}: holds no samples to review; run 'unshaken labels find --review N' there first")
    review = validate(ReviewRecord, drawn, f"{folder}: {RECORD}", RunError, "search again in a new --out")
    if isinstance(verdicts, Mapping):
        words = check_verdicts(verdicts, review.ids, "verdicts")
    else:
        words = read_verdicts(verdicts, review.ids)
    said = list(words.values())
    sample = ReviewSample(np.arange(len(said)), np.array(review.strata), np.array(review.sizes))
    least, most = (sample.share_wrong(np.isin(said, kinds)) for kinds in (["wrong"], ["wrong", "unclear"]))
    middle = (least.value + most.value) / 2
    figure = Figure(middle, least.low, most.high, least.n, least.interval)
    folder.write_json({"schema": 1, "wrong": figure.to_json(), "verdicts": dict(Counter(said))}, ESTIMATE)
    return figure


def read_estimate(run: RunDir) -> dict[str, Any] | None:
    """The share of wrong labels with its interval that `estimate_wrong` kept; None where it has not been asked.

    Args:
        run: the directory of `find_labels`.

    Raises:
        RunError: the file is damaged.
    """
    if not run.exists(ESTIMATE):
        return None
    kept = run.read_json(ESTIMATE)
    wrong = kept.get("wrong") if isinstance(kept, dict) else None
    if not isinstance(wrong, dict) or not {"value", "low", "high"} <= wrong.keys():
        raise RunError(f"{run}: {ESTIMATE} is damaged; run 'unshaken labels estimate' again")
    return wrong
