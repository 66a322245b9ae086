"""Progress, agreement, versions and the list of reviews."""

from __future__ import annotations

import pytest

from unshaken.labels.review.verdict import Verdict


@pytest.fixture
def answered(reviews):
    """Both readers have answered six items: alike on four."""
    for item in range(1, 7):
        for reader in ("ann", "bob"):
            kind = "unclear" if item > 4 and reader == "bob" else "confirm"
            reviews.record("night", item, reader, Verdict(kind=kind), token=f"{item}{reader}")
    return reviews


def test_progress_counts_states_and_readers(ann, answered):
    page = ann.get("/reviews/night/progress")
    assert "4 of 14 items are done; you have answered 6." in page
    assert "Readers disagree on 2" in page
    assert "28.6" in page  # 4 / 14 in per cent


def test_agreement_of_the_readers(ann, answered):
    page = ann.get("/reviews/night/agreement")
    assert "have answered 6 items" in page
    assert "ann and bob" in page
    assert "66.7" in page


def test_agreement_counts_first_answers(ann, answered):
    answered.record("night", 6, "bob", Verdict(kind="confirm"), token="again")
    assert "66.7" in ann.get("/reviews/night/agreement")


def test_agreement_before_there_is_any(ann):
    assert "once they have" in ann.get("/reviews/night/agreement")


def test_a_version_is_named_once(ann, answered):
    page = ann.get("/reviews/night/versions")
    assert "No version is named yet." in page
    page = ann.post("/reviews/night/versions", page, version=" first pass ")
    assert "first pass" in page
    assert "after row 12 of the log" in page
    page = ann.post("/reviews/night/versions", page, status=400, version="first pass")
    assert "there is a version &#39;first pass&#39; already" in page


@pytest.mark.parametrize("name", ["", "<b>", "../x", "x" * 65, "given"])
def test_a_wrong_name_of_a_version_is_refused(ann, reviews, name):
    ann.post("/reviews/night/versions", ann.get("/reviews/night/versions"), status=400, version=name)
    assert reviews.versions("night") == []


def test_the_list_shows_what_is_done(ann, answered):
    page = ann.get("/")
    assert "4 of 14 items done; 6 answered by you." in page
