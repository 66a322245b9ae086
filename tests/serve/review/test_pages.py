"""Pages of items: every filter, in parts that meet without a gap."""

from __future__ import annotations

import pytest

from tests.serve.review.replay import CLASSES, items
from unshaken.labels.review.verdict import Verdict
from unshaken.serve.review.records import Filters

CONFIRM = Verdict(kind="confirm")


@pytest.fixture
def filled(store):
    """An open review of 12 items: 1 to 4 by both readers, 5 and 6 by ann."""
    store.create("o", classes=CLASSES, items=items(12), blind=False)
    for reader, last in (("ann", 6), ("bob", 4)):
        for i in range(1, last + 1):
            store.record("o", i, reader, CONFIRM, token=str(i))
    return store


def ids(store, limit, **filters):
    """Numbers of the items of all pages, one after the other."""
    found, after = [], None
    while True:
        page = store.page("o", reader="bob", filters=Filters(**filters), after=after, limit=limit)
        assert len(page.items) <= limit
        found += [item.id for item in page.items]
        if page.next is None:
            return found
        after = page.next


CASES = [
    ({}, range(1, 13)),
    ({"state": "open"}, range(7, 13)),
    ({"state": "agreed"}, range(1, 5)),
    ({"state": "settled"}, []),
    ({"given": 0}, [3, 6, 9, 12]),
    ({"suggested": 0}, [2, 5, 8, 11]),
    ({"given": 0, "suggested": 1}, [3, 6, 9, 12]),
    ({"given": 0, "suggested": 2}, []),
    ({"given": 1, "state": "open"}, [7, 10]),
    ({"suggested": 1, "state": "waiting"}, [6]),
    ({"score_from": 0.5}, range(6, 13)),
    ({"score_to": 0.25}, [1, 2, 3]),
    ({"score_from": 0.25, "score_to": 0.75, "given": 0}, [3, 6, 9]),
    ({"reader": "ann"}, range(1, 7)),
    ({"reader": "bob", "given": 2}, [2]),
    ({"reader": "cid"}, []),
]


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_pages_hold_what_fits_once(filled, limit):
    for filters, wanted in CASES:
        assert ids(filled, limit, **filters) == list(wanted), filters


def test_a_range_of_scores_is_in_their_order(store):
    mixed = [one.model_copy(update={"score": (5 * i % 7) / 7}) for i, one in enumerate(items(7))]
    store.create("o", classes=CLASSES, items=mixed, blind=False)
    assert ids(store, 2, score_from=0.0) == [1, 4, 7, 3, 6, 2, 5]


def test_filters_on_what_is_hidden_show_what_was_answered_alone(store):
    store.record("r", 3, "ann", CONFIRM, token="1")
    for filters in (Filters(suggested=1), Filters(score_from=0.0)):
        assert [item.id for item in store.page("r", reader="ann", filters=filters).items] == [3]
        assert store.page("r", reader="bob", filters=filters).items == ()
