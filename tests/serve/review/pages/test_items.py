"""One item at a time: verdicts, the blind suggestion, undoing, settling."""

from __future__ import annotations

import re

import pytest

from unshaken.labels.review.verdict import VerdictKind


def own(reviews, item, reader="ann", review="night"):
    verdict = reviews.item(review, item, reader).own
    return None if verdict is None else (verdict.kind.value, verdict.classes)


def test_the_first_page_lists_the_reviews(ann):
    page = ann.get("/")
    assert "night" in page
    assert "0 of 14 items done" in page


def test_next_leads_to_the_first_item(ann):
    assert "<title>Item 1 · night" in ann.get("/reviews/night")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "confirm"}, ("confirm", ())),
        ({"kind": "suggest", "class": "ship"}, ("suggest", (3,))),
        ({"kind": "suggest", "class": "catf"}, ("suggest", (5,))),
        ({"kind": "suggest", "class": "crane #4"}, ("suggest", (4,))),
        ({"kind": "suggest", "class": "#6"}, ("suggest", (6,))),
        ({"kind": "several", "class": ["#0", "", "dog"]}, ("several", (0, 1))),
        ({"kind": "not-in-classes"}, ("not-in-classes", ())),
        ({"kind": "unclear"}, ("unclear", ())),
    ],
)
def test_a_verdict_is_recorded(ann, reviews, fields, expected):
    page = ann.get("/reviews/night/items/2")
    ann.post("/reviews/night/items/2/verdict", page, **fields)
    assert own(reviews, 2) == expected


def test_a_skip_leads_on_and_is_no_verdict(ann, reviews):
    page = ann.post("/reviews/night/items/1/verdict", ann.get("/reviews/night/items/1"), kind="skip")
    assert "Item 1: skipped." in page
    assert "<title>Item 2" in page
    assert own(reviews, 1) is None


def test_a_blind_review_hides_the_suggestion_until_the_first_verdict(ann):
    page = ann.get("/reviews/night/items/1")  # cat, the model says dog
    assert "hidden until your first verdict" in page
    assert "dog" not in page
    assert "near/suggested" not in page
    assert ann.client.get("/reviews/night/items/1/near/suggested/0.img").status_code == 404
    page = ann.post("/reviews/night/items/1/verdict", page, kind="confirm")
    assert ann.at == "/reviews/night/items/1"
    assert "dog" in page
    assert "By your verdict the model is wrong" in page
    assert ann.client.get("/reviews/night/items/1/near/suggested/0.img").status_code == 200


def test_a_verdict_equal_to_the_suggestion_leads_on(ann):
    ann.post("/reviews/night/items/1/verdict", ann.get("/reviews/night/items/1"), kind="suggest", **{"class": "dog"})
    assert ann.at == "/reviews/night/items/2"


def test_an_open_review_shows_the_suggestion_and_leads_on(ann):
    page = ann.get("/reviews/day/items/1")
    assert "dog" in page
    ann.post("/reviews/day/items/1/verdict", page, kind="confirm")
    assert ann.at == "/reviews/day/items/2"


def test_the_kind_of_a_mistake_is_added_to_the_verdict(ann, reviews):
    page = ann.post("/reviews/night/items/1/verdict", ann.get("/reviews/night/items/1"), kind="confirm")
    mistake = {"kind": "confirm", "category": "Spurious Correlation", "severity": "Major"}
    ann.post("/reviews/night/items/1/verdict", page, **mistake)
    verdict = reviews.item("night", 1, "ann").own
    assert (verdict.kind, verdict.category, verdict.severity) == (VerdictKind.CONFIRM, "Spurious Correlation", "Major")
    assert ann.at == "/reviews/night/items/2"
    assert len(reviews.history("night", 1)) == 2


def test_undo_leads_back_to_the_item(ann, reviews):
    page = ann.post("/reviews/night/items/4/verdict", ann.get("/reviews/night/items/4"), kind="confirm")
    page = ann.post("/reviews/night/undo", page)
    assert ann.at == "/reviews/night/items/4"
    assert "Item 4: undone." in page
    assert own(reviews, 4) is None


def test_the_same_form_sent_twice_is_one_row(ann, reviews):
    page = ann.get("/reviews/night/items/1")
    for _ in range(2):
        ann.post("/reviews/night/items/1/verdict", page, kind="confirm")
    assert len(reviews.history("night", 1)) == 1


def test_a_disagreement_is_settled(ann, bob, reviews):
    ann.post("/reviews/night/items/1/verdict", ann.get("/reviews/night/items/1"), kind="confirm")
    assert "disagree on nothing" in ann.get("/reviews/night/settle")
    bob.post("/reviews/night/items/1/verdict", bob.get("/reviews/night/items/1"), kind="unclear")
    assert "Item 1: cat" in ann.get("/reviews/night/settle")
    page = ann.get("/reviews/night/settle/1")
    assert "confirmed" in page
    assert "unclear" in page
    assert "bob" in page
    page = ann.post("/reviews/night/settle/1", page, kind="suggest", **{"class": "dog"})
    assert ann.at == "/reviews/night/settle"
    assert "Item 1: another class is right." in page
    assert reviews.item("night", 1, "ann").state == "settled"
    assert "settled: dog" in ann.get("/reviews/night/items/1/log")
    ann.get("/reviews/night/settle/1", status=404)


def test_when_all_is_done_progress_says_so(ann):
    for item in (1, 2, 3):
        page = ann.post(f"/reviews/day/items/{item}/verdict", ann.get(f"/reviews/day/items/{item}"), kind="confirm")
    assert ann.at == "/reviews/day/progress"
    assert "3 of 3 items are done" in page
    assert "The review is complete." in page


def test_the_log_of_a_blind_review_hides_what_others_said(ann, bob):
    bob.post("/reviews/night/items/1/verdict", bob.get("/reviews/night/items/1"), kind="unclear")
    page = ann.get("/reviews/night/items/1/log")
    assert "unclear" not in page
    assert "shown once you have given a verdict" in page
    ann.post("/reviews/night/items/1/verdict", ann.get("/reviews/night/items/1"), kind="confirm")
    assert "unclear" in ann.get("/reviews/night/items/1/log")


def test_classes_are_searched(ann):
    assert ann.client.get("/reviews/night/classes", params={"q": "CAT"}).json() == ["cat", "catfish"]
    assert ann.client.get("/reviews/night/classes", params={"q": " "}).json() == []


def test_an_unknown_class_is_said_on_the_page_of_the_item(ann, reviews):
    page = ann.get("/reviews/night/items/1")
    page = ann.post("/reviews/night/items/1/verdict", page, status=400, kind="suggest", **{"class": "catt"})
    assert "no class is called" in page
    assert "did you mean" in page
    assert "<title>Item 1" in page
    assert own(reviews, 1) is None


def test_the_model_is_right_in_one_click_where_its_suggestion_is_shown(ann):
    assert "The model is right" not in ann.get("/reviews/night/items/1")
    assert "The model is right: dog" in ann.get("/reviews/day/items/1")
    assert "The model is right" not in ann.get("/reviews/day/items/1").replace("The model is right: dog", "")


def test_a_note_goes_with_a_verdict(ann, reviews):
    page = ann.get("/reviews/night/items/4")
    ann.post("/reviews/night/items/4/verdict", page, kind="unclear", note=" too dark\r\nto tell ")
    assert reviews.item("night", 4, "ann").own.note == "too dark\r\nto tell"
    assert "too dark" in ann.get("/reviews/night/items/4")
    assert "too dark" in ann.get("/reviews/night/items/4/log")


def test_the_verdict_of_a_reader_is_taken_whole_when_settling(ann, bob, reviews):
    ann.post("/reviews/night/items/1/verdict", ann.get("/reviews/night/items/1"), kind="confirm")
    several = {"kind": "several", "class": ["cat", "crane #4"]}
    bob.post("/reviews/night/items/1/verdict", bob.get("/reviews/night/items/1"), **several)
    page = ann.get("/reviews/night/settle/1")
    form = page[page.index('aria-label="Take the verdict of bob"') - 400 :]
    assert re.findall(r'name="class" value="([^"]+)"', form)[:2] == ["#0", "#4"]
    ann.post("/reviews/night/settle/1", page, kind="several", **{"class": ["#0", "#4"]})
    assert reviews.item("night", 1, "ann").answer.classes == (0, 4)
