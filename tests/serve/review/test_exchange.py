"""A review by recorded votes."""

from __future__ import annotations

import pytest

from tests.serve.review.replay import check_counted, items
from unshaken.core.errors import ParameterError
from unshaken.serve.review.exchange import review_by_votes


def test_votes_are_recorded_and_the_settler_decides(store):
    samples = [one.sample for one in items(12)]
    ann = dict.fromkeys(samples, 0)
    bob = {**ann, "s4": 1, "s5": 2}
    assert review_by_votes(store, "r", {"ann": ann, "bob": bob}, ("cid", {"s4": 1, "s5": 1})) == 2
    found = {one.sample: one.corrected for one in store.labels_at("r")}
    assert found == {**ann, "s4": 1, "s5": 1}
    assert store.progress("r").done == 12
    assert review_by_votes(store, "r", {"ann": ann, "bob": bob}, ("cid", {})) == 0
    assert store.review("r").log == 26
    check_counted(store)


def test_a_missing_vote_is_told(store):
    with pytest.raises(ParameterError, match="no vote on sample 's1'"):
        review_by_votes(store, "r", {"ann": {}}, ("cid", {}))
