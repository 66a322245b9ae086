"""The rows of labels that a review changed, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from unshaken.core.errors import RunError, UnshakenError
from unshaken.core.part import CLEAN
from unshaken.data import load_data
from unshaken.data.dataset import BadSample
from unshaken.labels.correct.outcome import Outcome, reason_of
from unshaken.measure.statistics.columns import Indices
from unshaken.store.run_dir import RunDir

PICTURES = 60
"""Pictures of changed labels that are kept."""
CHANGED = "changed"
"""The condition under which they are kept."""


@dataclass(frozen=True, slots=True)
class AuditRows:
    """What a model said of the unchanged images of its audit, in the order of the ids.

    Args:
        ids: of the samples.
        label: int `[N]`, -1 where there is none.
        prediction: int `[N]`.
        confidence: `[N]` in [0, 1].
    """

    ids: list[str]
    label: Indices
    prediction: Indices
    confidence: NDArray[np.float64]

    @classmethod
    def read(cls, run: RunDir) -> Self:
        """The rows of a run.

        Args:
            run: directory of an audit.

        Raises:
            RunError: it has none.
        """
        if not run.exists("rows", "outcomes"):
            raise RunError(f"{run}: has no rows of predictions; run 'unshaken audit' there first")
        table = run.rows("outcomes", ["id", "condition", "label", "prediction", "confidence"])
        table = table.filter(pc.equal(table["condition"], CLEAN.id)).sort_by("id")
        if not table.num_rows:
            raise RunError(f"{run}: has no rows of unchanged images; run 'unshaken audit' there first")
        label, prediction = (table[k].fill_null(-1).to_numpy().astype(np.int64) for k in ("label", "prediction"))
        confidence = table["confidence"].cast(pa.float64()).fill_null(0.0).to_numpy()
        return cls(table["id"].to_pylist(), label, prediction, confidence)


def change_rows(
    ids: Sequence[str], before: Indices, after: Indices, models: Sequence[AuditRows], review: Outcome | None
) -> list[dict[str, Any]]:
    """Rows of the table `label_changes`, the clearest mistakes first.

    A mistake is clear where many models predict the label after the review, and are sure of it; without models, where
    the search for wrong labels found it suspect.

    Args:
        ids: of the samples.
        before: labels, int `[N]`, -1 where there is none.
        after: likewise.
        models: what models predict of these samples.
        review: what people said, or None.
    """
    said = {} if review is None else {one.sample: one for one in review.labels}
    found = []
    for i in np.flatnonzero((before != after) & (before >= 0)).tolist():
        own = said.get(ids[i])
        reason = None if own is None else reason_of(own)
        sure = [float(m.confidence[i]) for m in models if m.prediction[i] == after[i]]
        found.append(
            {
                "id": ids[i], "before": int(before[i]), "after": None if after[i] < 0 else int(after[i]),
                "reason": reason and reason.answer, "decided": reason and reason.decided,
                "score": own and own.score, "right_before": sum(int(m.prediction[i] == before[i]) for m in models),
                "right_after": len(sure), "confidence": float(np.mean(sure)) if sure else None,
            }
        )  # fmt: skip
    return sorted(found, key=_clarity)


def _clarity(row: dict[str, Any]) -> tuple[float, float, float]:
    score = row["score"]
    return -row["right_after"], -(row["confidence"] or 0.0), float("inf") if score is None else score


def keep_pictures(run: RunDir, data: str, ids: Sequence[str]) -> str:
    """Keep pictures of the first samples; a picture is no reason to fetch data or to fail.

    Args:
        run: where they go.
        data: SPEC, empty where it is not known.
        ids: of the samples, those to show first.

    Returns:
        Why pictures are missing, or an empty text.
    """
    if not data:
        return "the data of the labels is not known: give an audit or the review"
    try:
        dataset = load_data(data)
    except UnshakenError as error:
        return str(error)
    place, missing = {id: i for i, id in enumerate(dataset.ids)}, 0
    for number, id in enumerate(ids[:PICTURES]):
        try:
            pixels = dataset.read(place[id])
        except (BadSample, KeyError):
            missing += 1
            continue
        image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
        run.write_examples(image, [id], CHANGED, number)
    return f"{missing} of {min(len(ids), PICTURES)} samples cannot be read from {data!r}" if missing else ""
