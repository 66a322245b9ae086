"""Progress, agreement, versions and the list of reviews."""

from __future__ import annotations

import tempfile

import pytest

from tests.serve.conftest import CLASSES, new_items
from unshaken.labels.correct.table import to_csv
from unshaken.labels.review.verdict import Verdict
from unshaken.serve.review.exchange import Format, export_review, share_wrong


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
    assert "After row 12 of the log" in page
    page = ann.post("/reviews/night/versions", page, status=400, version="first pass")
    assert "there is a version &#39;first pass&#39; already" in page


@pytest.mark.parametrize("name", ["", "<b>", "../x", "x" * 65, "given"])
def test_a_wrong_name_of_a_version_is_refused(ann, reviews, name):
    ann.post("/reviews/night/versions", ann.get("/reviews/night/versions"), status=400, version=name)
    assert reviews.versions("night") == []


@pytest.mark.parametrize("format", [f for f in Format if f is not Format.PARQUET])
def test_the_labels_of_a_version_are_downloaded(ann, reviews, tmp_path, format):
    reviews.record("day", 1, "ann", Verdict(kind="suggest", classes=(3,)), token="1")
    reviews.name_version("day", "first pass")
    reviews.record("day", 2, "ann", Verdict(kind="unclear"), token="2")
    assert f"/reviews/day/export/{format.value}?version=first+pass" in ann.get("/reviews/day/versions")
    answer = ann.client.get(f"/reviews/day/export/{format.value}", params={"version": "first pass"})
    assert answer.headers["content-disposition"].startswith("attachment")
    assert f"day-first_pass-{format.value}" in answer.headers["content-disposition"]
    export_review(reviews, "day", format, tmp_path / "file", version="first pass")
    assert answer.content == (tmp_path / "file").read_bytes()
    now = ann.client.get(f"/reviews/day/export/{format.value}")
    assert now.status_code == 200
    assert now.content != answer.content


def test_a_format_that_cannot_hold_the_classes_says_so(ann, answered):
    assert "crane" in ann.get("/reviews/night/export/label-studio", status=400)


def test_a_download_leaves_no_file_behind(ann, answered, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ann.get("/reviews/night/export/csv")
    ann.get("/reviews/night/export/parquet", status=400)  # the data cannot be opened
    assert list(tmp_path.glob("unshaken-*")) == []


@pytest.mark.parametrize("path", ["zip", "csv?version=second", "csv?version=<b>", "..%2fcsv"])
def test_a_wrong_download_is_refused(ann, path):
    ann.get(f"/reviews/night/export/{path}", status=404)


def test_the_list_shows_what_is_done(ann, answered):
    page = ann.get("/")
    assert "4 of 14 items done; 6 answered by you." in page


def test_the_readers_table_shows_what_is_left_of_assigned_items(ann, answered):
    assert "assigned to the reader" not in ann.get("/reviews/night/progress")
    answered.assign("night", ["ann", "bob"])
    left = answered.progress("night").left
    page = ann.get("/reviews/night/progress")
    assert "assigned to the reader" in page
    assert sum(left.values()) == 8  # of 14 items, 6 of which both have answered


def test_the_csv_file_names_who_settled(reviews):
    for reader, kind in (("ann", "confirm"), ("bob", "unclear")):
        reviews.record("night", 1, reader, Verdict(kind=kind), token=reader)
    assert [one.settler for one in reviews.labels_at("night")] == [None]
    reviews.settle("night", 1, "bob", Verdict(kind="confirm"), token="s")
    assert to_csv(reviews.outcome("night")).splitlines()[1].endswith(",bob")


def test_the_page_estimates_the_whole_set_while_a_drawn_sample_is_read(ann, reviews, data):
    """Of 12 labels in two strata of 4 and 8, 4 and 1 are drawn; one of the four is wrong."""
    drawn = [one.model_copy(update={"stratum": int(i == 4)}) for i, one in enumerate(new_items(data, 5))]
    reviews.create("drawn", classes=CLASSES, items=drawn, readers_per_item=1, strata=(4, 8))
    assert "follows when more of the first items are done" in ann.get("/reviews/drawn/progress")
    for item in range(1, 6):
        verdict = Verdict(kind="not-in-classes" if item == 1 else "confirm")
        reviews.record("drawn", item, "ann", verdict, token=str(item))
    page = ann.get("/reviews/drawn/progress")
    assert "From the first 5 of 5 drawn items" in page
    assert "fixed in advance" in page
    found = share_wrong(reviews, "drawn")
    assert (found.value, found.low) == pytest.approx((1 / 12, 1 / 12))  # the stratum of four is known
    assert found.high == pytest.approx((1 + 8 * 0.975) / 12, abs=1e-3)


def test_the_page_of_items_by_suspicion_says_why_there_is_no_estimate(ann, answered):
    page = ann.get("/reviews/night/progress")
    assert "No estimate for the whole set" in page
    assert "wrong more often than the rest" in page
