"""A review of what `unshaken labels find` found: its sample to review, its flagged labels, or all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from unshaken.api.label_evidence import read_features
from unshaken.api.label_record import RECORD, ReviewRecord
from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.data.dataset import BadSample, Dataset
from unshaken.labels.review.references import FeatureLikeness, PixelLikeness, References
from unshaken.serve.images import open_recorded
from unshaken.serve.review.records import NewItem, Review
from unshaken.serve.review.store import ReviewStore
from unshaken.store.run_dir import RunDir


class Choice(StrEnum):
    """The samples of a search that are reviewed."""

    SAMPLE = "sample"
    FLAGGED = "flagged"
    ALL = "all"


class _Settings(BaseModel):
    data: str


class SearchRecord(BaseModel):
    """The parts of `labels.json` that a review needs.

    Args:
        settings: of the search; `data` is the SPEC.
        classes: names in label order.
        found: what each finder says; the first decides.
        review: the sample to review, or None.
    """

    settings: _Settings
    classes: list[str] = Field(min_length=2)
    found: dict[str, Any] = Field(min_length=1)
    review: ReviewRecord | None


def create_from_run(
    store: ReviewStore, run: RunDir, name: str, *, choice: Choice = Choice.SAMPLE, blind: bool = True,
    readers_per_item: int = 2, download: bool = False,
) -> Review:  # fmt: skip
    """Begin the review of a search for wrong labels.

    Args:
        store: where the review is kept.
        run: as `unshaken labels find` leaves it.
        name: of the review.
        choice: `sample` in its random order; or `flagged` or `all`, the most suspect first.
        blind: whether suggestions are hidden until a reader's first verdict.
        readers_per_item: how many readers must answer.
        download: whether the data may be fetched.

    Raises:
        RunError: there is no finished search, or it has nothing of the choice.
        ModelError: the search names code as its data, and the user did not.
        DataError: the data is not there.
    """
    record = read_search(run)
    columns = ["id", "condition", "given", "suggested", "score", "flagged"]
    table = run.rows("labels", columns)
    first = next(iter(record.found))
    table = table.filter(np.array(table["condition"].to_pylist(), object) == first)
    ids = table["id"].to_pylist()
    rows = _chosen(run, record, choice, ids, table)
    dataset = open_recorded(record.settings.data, f"{run}/{RECORD}", download=download)
    columns_of = (table[c].to_numpy() for c in ("given", "suggested", "score"))
    items = _items(dataset, ids, rows, read_features(run, len(ids)), *columns_of)
    drawn = record.review if choice is Choice.SAMPLE else None
    if drawn is not None:
        items = (one.model_copy(update={"stratum": h}) for one, h in zip(items, drawn.strata, strict=True))
    return store.create(
        name, classes=record.classes, items=items, blind=blind, readers_per_item=readers_per_item,
        data=record.settings.data, strata=() if drawn is None else drawn.sizes,
    )  # fmt: skip


def read_search(run: RunDir) -> SearchRecord:
    """Read `labels.json` of a finished search.

    Raises:
        RunError: there is none, or the search did not finish.
    """
    record = run.read_json(RECORD) if run.exists(RECORD) else {}
    if not isinstance(record, dict) or not record.get("finished"):
        raise RunError(f"{run}: holds no finished search for wrong labels; run 'unshaken labels find' first")
    return validate(SearchRecord, record, f"{run}: {RECORD}", RunError, "search again in a new --out")


def _chosen(run: RunDir, record: SearchRecord, choice: Choice, ids: Sequence[str], table: Any) -> list[int]:
    """Rows of the table in the order of the review."""
    if choice is Choice.SAMPLE:
        if record.review is None:
            raise RunError(f"{run}: the search drew no sample (--review-size 0); choose --items flagged or all")
        place = {id: i for i, id in enumerate(ids)}
        absent = [id for id in record.review.ids if id not in place]
        if absent:
            raise RunError(f"{run}: {RECORD} names a sample to review that has no row, {absent[0]!r}; search again")
        return [place[id] for id in record.review.ids]
    order = np.argsort(table["score"].to_numpy(), kind="stable")
    if choice is Choice.FLAGGED:
        flagged = np.array([bool(flag) for flag in table["flagged"].to_pylist()])
        order = order[flagged[order]]
        if not len(order):
            raise RunError(f"{run}: the search flagged no label; choose --items sample or all")
    return [int(i) for i in order]


def _items(
    dataset: Dataset, ids: Sequence[str], rows: Sequence[int], features: NDArray[np.float16] | None, given: np.ndarray,
    suggested: np.ndarray, score: np.ndarray,
) -> Iterator[NewItem]:  # fmt: skip
    place = {id: i for i, id in enumerate(dataset.ids)}

    def picture(row: int) -> np.ndarray | None:
        try:
            return dataset.read(place[ids[row]]) if ids[row] in place else None
        except BadSample:
            return None

    wanted = {row: sorted({int(given[row]), int(suggested[row])}) for row in rows}
    likeness = PixelLikeness(picture) if features is None else FeatureLikeness(features)
    references = References(given, score, likeness, wanted)
    for row in rows:
        own, other = int(given[row]), int(suggested[row])
        near = {label: tuple(ids[i] for i in references.of(row, label)) for label in wanted[row]}
        yield NewItem(
            sample=ids[row], given=own, suggested=other, score=float(score[row]), near_given=near[own],
            near_suggested=near[other] if other != own else (), near_by=references.basis,
        )  # fmt: skip
