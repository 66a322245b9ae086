"""`compare_labels`: what a review changed, and models under the labels before and after it, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from unshaken.core.errors import DataError, ParameterError, RunError, UnshakenError
from unshaken.core.numbers import shorten
from unshaken.core.options import LABEL_VERSION_RECORDS
from unshaken.core.part import CLEAN, Condition, Part
from unshaken.data import load_data
from unshaken.data.dataset import BadSample
from unshaken.data.label_overlay import LabelTable, read_labels
from unshaken.labels.correct.outcome import Outcome, count_reasons, reason_of
from unshaken.labels.engine.rows import CHANGES
from unshaken.labels.review.protocol import agreement_of
from unshaken.measure.classification.label_versions import VersionChange, compare_versions
from unshaken.measure.statistics.columns import Indices
from unshaken.measure.statistics.means import over_seeds
from unshaken.report.compare import compare_runs
from unshaken.report.pages.label_versions import LABEL_VERSIONS, RECORD
from unshaken.store.config import read_config
from unshaken.store.output import check_folder
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

PICTURES = 60
"""Pictures of changed labels that are kept."""
CHANGED = "changed"
"""The condition under which they are kept."""


@dataclass(frozen=True, slots=True)
class AuditRows:
    """A model's predictions of the unchanged images of its audit, in the order of the ids.

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
        review: the outcome of the review, or None.
    """
    reviewed = {} if review is None else {one.sample: one for one in review.labels}
    found = []
    for i in np.flatnonzero((before != after) & (before >= 0)).tolist():
        own = reviewed.get(ids[i])
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

    def clarity(row: dict[str, Any]) -> tuple[float, float, float]:
        score = row["score"]
        return -row["right_after"], -(row["confidence"] or 0.0), float("inf") if score is None else score

    return sorted(found, key=clarity)


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


Place = str | Path | RunDir
MADE = Condition("review", "review")


@dataclass(frozen=True, slots=True)
class LabelComparison:
    """Changes of labels by a review, and models under both versions.

    Args:
        change: models under both versions of the labels.
        rows: of the table `label_changes`, one a changed label, the clearest mistakes first.
        record: what `label-versions.json` holds.
    """

    change: VersionChange
    rows: Sequence[Mapping[str, Any]]
    record: Mapping[str, Any]


def compare_labels(
    labels: str | Path,
    *runs: Place,
    review: Outcome | None = None,
    wrong: Mapping[str, Any] | None = None,
    retrained: Sequence[tuple[Place, Place]] = (),
    out: str | Path | None = None,
) -> LabelComparison:
    """Tell what a review changed, and compare models under the labels before and after it. No model is run again.

    Args:
        labels: a file of labels as `labels export --format overlay` writes it; samples without a row keep their label.
        runs: directories of audits of the reviewed data; their unchanged images count. Without any, the labels alone
            are compared.
        review: the outcome of the review, with reasons and agreement; None where it is not known.
        wrong: the share of wrong labels in the whole set with its interval, as `estimate.json` has it.
        retrained: pairs of audits on other images: of a network trained on the labels before, and on those after.
        out: folder for `label-versions.json`, the rows, pictures and a report; None to write nothing.

    Raises:
        DataError: the file cannot be read, or is of other data.
        ParameterError: two audits of a pair are of other images.
        RunError: a run has no rows of unchanged images, or two runs have other samples.
    """
    check_folder(out, "out", LABEL_VERSION_RECORDS)
    table = read_labels(Path(labels), str(labels))
    if not pa.types.is_integer(table.labels.type) and not pa.types.is_null(table.labels.type):
        raise DataError(f"{labels}: labels are of type {table.labels.type}; give label numbers")
    folders = [_folder(one) for one in runs]
    read = {_name(run, folders): AuditRows.read(run) for run in folders}
    if read:
        ids, before = _samples(read, folders)
    elif table.given is None:
        raise DataError(f"{labels}: has no column 'given' with the labels before; give audits of the data, too")
    else:
        ids, before = table.ids, np.array([-1 if label is None else label for label in table.given], np.int64)
    after = _after(table, ids, before, str(labels), whole=not read)
    change = compare_versions({name: one.prediction for name, one in read.items()}, before, after)
    config = read_config(folders[0]) if folders and folders[0].exists("run.json") else None
    rows = change_rows(ids, before, after, list(read.values()), review)
    record: dict[str, Any] = {
        "schema": 1, "labels": table.version, "file": str(labels), "runs": [str(one) for one in folders],
        "data": config.data if config else review.data if review else "",
        "classes": list(config.classes if config else review.classes if review else ()),
        **change.to_json(), "review": None if review is None else _review_record(review),
        "wrong": None if wrong is None else dict(wrong), "retrained": _gains(retrained), "pictures": "",
        "provenance": provenance(),
    }  # fmt: skip
    if out is None:
        return LabelComparison(change, rows, record)
    place = RunDir(out)
    record["pictures"] = keep_pictures(place, record["data"], [row["id"] for row in rows])
    columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {"id": []}
    place.write_rows(table_of(Part(CHANGES, MADE, columns)), CHANGES, MADE.id, 0)
    place.write_json(record, RECORD)
    LABEL_VERSIONS.write(place)
    return LabelComparison(change, rows, record)


def _folder(place: Place) -> RunDir:
    return place if isinstance(place, RunDir) else RunDir(place)


def _name(run: RunDir, runs: Sequence[RunDir]) -> str:
    """The last part of a run's path, or all of it where another run has the same."""
    short = [str(one).rstrip("/").rpartition("/")[2] for one in runs]
    own = str(run).rstrip("/").rpartition("/")[2]
    return own if short.count(own) == 1 else str(run)


def _samples(read: Mapping[str, AuditRows], runs: Sequence[RunDir]) -> tuple[list[str], Indices]:
    """Ids and labels, which all runs share."""
    first = next(iter(read.values()))
    for run, one in zip(runs, read.values(), strict=True):
        if one.ids != first.ids or (one.label != first.label).any():
            raise RunError(f"{run}: its samples or labels are not those of {runs[0]}; compare runs of the same data")
    return first.ids, first.label


def _after(table: LabelTable, ids: Sequence[str], before: Indices, source: str, *, whole: bool) -> Indices:
    place, after = {id: i for i, id in enumerate(ids)}, before.copy()
    known = [(row, place[id]) for row, id in enumerate(table.ids) if id in place]
    if not known:
        raise DataError(f"{source}: none of its {len(table.ids):,} samples is in the runs; give labels of them")
    for row, i in known:
        if not whole and table.given is not None and table.given[row] != before[i]:
            raise DataError(
                f"{source}: sample {shorten(ids[i])} had the label {table.given[row]} before, and {before[i]} in the "
                "runs; give runs on the labels that were reviewed"
            )
        label = table.labels[row].as_py()
        after[i] = -1 if label is None else label
    return after


def _review_record(review: Outcome) -> dict[str, Any]:
    counts = [{**asdict(reason), "labels": n} for reason, n in count_reasons(review.labels)]
    agreement = agreement_of([one.independent for one in review.labels]).to_json()
    return {"name": review.review, "version": review.version, "labels": len(review.labels), "reasons": counts,
            "agreement": agreement}  # fmt: skip


def _gains(pairs: Sequence[tuple[Place, Place]]) -> dict[str, Any] | None:
    """Gain of retraining on unchanged images, pair by pair and, from two pairs on, their mean."""
    if not pairs:
        return None
    found = []
    for before, after in pairs:
        (one,) = compare_runs([_folder(before), _folder(after)]).runs
        clean = next(c for c in one.conditions if c.condition.id == CLEAN.id)
        found.append((one, clean))
    if len({one.n for one, _ in found}) > 1:
        raise ParameterError("pairs of audits have other numbers of images: audit all networks on the same ones")
    gains = [clean.paired.difference.value for _, clean in found]
    mean = over_seeds(gains, low=-1, high=1) if len(gains) > 1 else None
    return {
        "mean": None if mean is None else mean.to_json(),
        "pairs": [
            {
                "before": one.baseline, "after": one.candidate, "accuracy_before": clean.baseline.to_json(),
                "accuracy_after": clean.candidate.to_json(), "difference": clean.paired.difference.to_json(),
                "p_value": clean.paired.p_value,
            }
            for one, clean in found
        ],
    }  # fmt: skip
