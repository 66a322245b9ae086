"""The state of a review counted again from its log alone, and compared with what the store keeps beside the log."""

from __future__ import annotations

from collections import Counter

from unshaken.labels.review.protocol import ItemState, status_of
from unshaken.serve.review.records import NewItem
from unshaken.serve.review.store import ReviewStore

CLASSES = ("ant", "bee", "cat")


def items(n: int) -> list[NewItem]:
    """Samples s1, s2, ...: labels in turn, each suggested to be the next class, the most suspect first."""
    return [
        NewItem(
            sample=f"s{i}", given=i % 3, suggested=(i + 1) % 3, score=i / n, near_given=("g",), near_suggested=("n",)
        )
        for i in range(1, n + 1)
    ]


def check_counted(store: ReviewStore, review: str = "r") -> None:
    """All that is counted equals what the log says."""
    found, log = store.review(review), store.verdicts(review)
    assert [row.number for row in log] == list(range(1, found.log + 1))
    views = {item.id: item for item in store.page(review, reader=store.readers()[0], limit=500).items}
    by_item = {number: [row for row in log if row.item == number] for number in views}
    states = {n: status_of(rows, views[n].given, found.readers_per_item) for n, rows in by_item.items()}
    assert {n: item.state for n, item in views.items()} == {n: status.state for n, status in states.items()}
    counts = Counter(status.state for status in states.values())
    progress = store.progress(review)
    assert dict(progress.states) == {state: counts[state] for state in ItemState}
    readers = Counter(reader for status in states.values() for reader in status.standing)
    assert {k: v for k, v in progress.readers.items() if v} == dict(readers)
