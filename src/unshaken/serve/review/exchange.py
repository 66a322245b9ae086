"""Reviews to files of other tools, and verdicts from them, or from recorded votes, into a review."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from unshaken.core.documents import check_regular
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.data.label_overlay import read_labels
from unshaken.labels.correct.cleanlab import from_cleanlab, to_cleanlab
from unshaken.labels.correct.fiftyone import from_fiftyone, to_fiftyone
from unshaken.labels.correct.label_studio import from_label_studio, to_label_studio
from unshaken.labels.correct.outcome import ForeignVerdict, Outcome, verdict_for
from unshaken.labels.correct.overlay import ExportCounts, to_overlay, write_corrected
from unshaken.labels.correct.table import from_csv, to_csv
from unshaken.labels.engine.review_sample import ReviewSample
from unshaken.labels.review.protocol import ItemState
from unshaken.labels.review.verdict import Answer, AnswerKind, Verdict
from unshaken.measure import Figure
from unshaken.serve.images import open_recorded
from unshaken.serve.review.store import ReviewStore
from unshaken.store.output import kind_of, replacing


class Format(StrEnum):
    """Files that a review is exported to; the first four are imported too."""

    CSV = "csv"
    CLEANLAB = "cleanlab"
    LABEL_STUDIO = "label-studio"
    FIFTYONE = "fiftyone"
    OVERLAY = "overlay"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The result of an export of a review.

    Args:
        outcome: the labels of the review.
        written: samples of a whole data set in the file, and those that it lacks; None where it holds labels alone.
    """

    outcome: Outcome
    written: ExportCounts | None = None


def _csv(outcome: Outcome, path: Path) -> None:
    path.write_bytes(to_csv(outcome).encode())


def _cleanlab(outcome: Outcome, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **to_cleanlab(outcome))  # type: ignore[arg-type]


def _label_studio(outcome: Outcome, path: Path) -> None:
    path.write_text(json.dumps(to_label_studio(outcome), ensure_ascii=False, indent=1), encoding="utf-8")


def _fiftyone(outcome: Outcome, path: Path) -> None:
    path.write_text(json.dumps(to_fiftyone(outcome), ensure_ascii=False, indent=1), encoding="utf-8")


def _overlay(outcome: Outcome, path: Path) -> None:
    pq.write_table(to_overlay(outcome), path)


def _parquet(outcome: Outcome, path: Path) -> ExportCounts:
    return write_corrected(open_recorded(outcome.data, f"the review {outcome.review!r}"), outcome, path)


WRITERS: Mapping[Format, Callable[[Outcome, Path], ExportCounts | None]] = {
    Format.CSV: _csv,
    Format.CLEANLAB: _cleanlab,
    Format.LABEL_STUDIO: _label_studio,
    Format.FIFTYONE: _fiftyone,
    Format.OVERLAY: _overlay,
    Format.PARQUET: _parquet,
}
READERS: Mapping[Format, Callable[[Path, tuple[str, ...]], list[ForeignVerdict]]] = {
    Format.CSV: lambda path, classes: from_csv(path),
    Format.CLEANLAB: lambda path, classes: from_cleanlab(path),
    Format.LABEL_STUDIO: from_label_studio,
    Format.FIFTYONE: from_fiftyone,
}


def export_review(
    store: ReviewStore, review: str, format: Format, path: Path, *, version: str | None = None
) -> ExportResult:
    """Write the labels of a review to a file.

    Args:
        store: of the review.
        review: name.
        format: of the file.
        path: of the file; one that is there is replaced.
        version: name of the version; None for the labels as they are now.

    Raises:
        ParameterError: there is no such review or version, or the file cannot be written.
        DataError: the data cannot be read, for `parquet`.
    """
    outcome = store.outcome(review, version)
    try:
        if (kind := kind_of(path)) is not None:
            raise ParameterError(f"{path} is {kind}: name a file")
        with replacing(path) as part:
            written = WRITERS[format](outcome, part)
    except OSError as error:
        raise ParameterError(f"{path}: cannot be written ({error.strerror})") from None
    return ExportResult(outcome, written)


def outcome_of(store: ReviewStore, review: str, labels: str | Path) -> Outcome:
    """The review as it was when a file of labels was exported from it; as it is now where the file does not say.

    Args:
        store: of the review.
        review: name.
        labels: a file that `export_review` wrote.

    Raises:
        ParameterError: there is no such review, or the file is of another one.
        DataError: the file cannot be read.
    """
    version = read_labels(Path(labels), str(labels)).version
    name, at, number = version.rpartition("@")
    if at and number.isascii() and number.isdigit() and name in [one.name for one in store.reviews()]:
        if name != review:
            raise ParameterError(f"{labels}: its labels are of the review {name!r}: add --name {name!r}")
        return store.outcome(review, int(number))
    named = version in [one.name for one in store.versions(review)]
    return store.outcome(review, version if named else None)


def import_verdicts(
    store: ReviewStore, review: str, format: Format, path: Path, *, reader: str | None = None
) -> tuple[int, int]:
    """Append the verdicts of a file to a review, all of them or none; those that are in it already are not added again.

    Args:
        store: of the review.
        review: name.
        format: of the file: csv, cleanlab, label-studio or fiftyone.
        path: of the file.
        reader: name of the reader of answers whose reader the file does not say.

    Returns:
        The number of verdicts in the file, and of those added.

    Raises:
        ParameterError: the format is not imported, a sample is none of the review, or a reader is not known.
        DataError: the file cannot be read.
    """
    if format not in READERS:
        raise ParameterError(f"format {format.value} is not imported: choose {', '.join(READERS)}")
    check_regular(path)
    found = READERS[format](path, store.review(review).classes)
    names = {one.reader or reader for one in found}
    if None in names:
        raise ParameterError(f"{path}: does not say whose answers these are: name a --reader")
    for name in sorted(filter(None, names)):
        store.ensure_reader(name)
    given = store.given_labels(review, [one.sample for one in found])
    rows = [_row(one, one.reader or reader or "", given) for one in found]
    return len(rows), store.record_all(review, rows)


def _row(one: ForeignVerdict, reader: str, given: Mapping[str, int]) -> tuple[str, str, Verdict, str]:
    if one.sample not in given:
        raise ParameterError(f"the review has no item of sample {shorten(one.sample)}: nothing was imported")
    content = f"{one.sample}\0{one.answer}".encode("utf-8", "surrogatepass")
    token = f"import-{hashlib.blake2b(content, digest_size=16).hexdigest()}"
    return one.sample, reader, verdict_for(one.answer, given[one.sample]), token


def verdict_words(outcome: Outcome, samples: Sequence[str]) -> dict[str, str]:
    """The outcome as `estimate_wrong` takes it: `right`, `wrong` or `unclear`; what is disputed is unclear.

    Args:
        outcome: of a review.
        samples: ids of the samples of the review.

    Returns:
        Sample to word, without the samples that have no answer yet.
    """
    words = {None: "unclear", True: "wrong", False: "right"}
    known = (one for one in outcome.labels if one.state not in (ItemState.OPEN, ItemState.WAITING))
    found = {one.sample: words[one.is_wrong] for one in known}
    return {sample: found[sample] for sample in samples if sample in found}


def share_wrong(store: ReviewStore, review: str) -> Figure | None:
    """The share of wrong labels in the whole set, by the answers so far in a review of a random sample.

    Args:
        store: of the review.
        review: name.

    Returns:
        As `ReviewSample.share_so_far`; None also where the items are no random sample (`Review.strata` is empty).

    Raises:
        ParameterError: there is no such review.
    """
    drawn, sizes = store.drawn(review), store.review(review).strata
    words = verdict_words(store.outcome(review), list(drawn))
    sample = ReviewSample(np.arange(len(drawn)), np.array(list(drawn.values()), np.int64), np.array(sizes, np.int64))
    return sample.share_so_far([words.get(name) for name in drawn])


Votes = Mapping[str, int]
"""The label that a person once gave to each sample, by the sample's id."""
PAGE = 500


def review_by_votes(store: ReviewStore, review: str, readers: Mapping[str, Votes], settler: tuple[str, Votes]) -> int:
    """Record the votes of readers on every item of a review, and let a settler's votes decide where they disagree.

    Args:
        store: of the review.
        review: name.
        readers: name of each reader to the votes.
        settler: name and votes.

    Returns:
        The number of items that were settled.

    Raises:
        ParameterError: there is no such review, or a vote is missing.
    """
    for name in [*readers, settler[0]]:
        store.ensure_reader(name)
    first, after = next(iter(readers)), None
    while True:
        page = store.page(review, reader=first, after=after, limit=PAGE)
        rows = [
            (item.sample, name, _verdict(votes, item.sample, item.given), f"vote-{item.id}")
            for item in page.items
            for name, votes in readers.items()
        ]
        store.record_all(review, rows)
        if (after := page.next) is None:
            break
    settled = 0
    while disputes := store.disagreements(review, limit=PAGE):
        for one in disputes:
            verdict = _verdict(settler[1], one.item.sample, one.item.given)
            store.settle(review, one.item.id, settler[0], verdict, token=f"settle-{one.item.id}")
        settled += len(disputes)
    return settled


def _verdict(votes: Votes, sample: str, given: int) -> Verdict:
    if sample not in votes:
        raise ParameterError(f"there is no vote on sample {shorten(sample)}: give votes on all items of the review")
    return verdict_for(Answer(kind=AnswerKind.LABELS, classes=(votes[sample],)), given)
