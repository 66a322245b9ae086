"""A review by recorded votes: readers who answer as people once did, to try the whole loop and to measure it."""

from __future__ import annotations

from collections.abc import Mapping

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.labels.correct.outcome import verdict_for
from unshaken.labels.review.verdict import Answer, AnswerKind, Verdict
from unshaken.serve.review.store import ReviewStore

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
