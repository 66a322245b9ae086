"""Verdicts: which are whole, and which answer each stands for."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from unshaken.labels.review.verdict import Answer, Category, Verdict, answer_of, storable


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({"kind": "confirm"}, Answer(kind="labels", classes=(2,))),
        ({"kind": "suggest", "classes": (0,)}, Answer(kind="labels", classes=(0,))),
        ({"kind": "several", "classes": (5, 2, 5)}, Answer(kind="labels", classes=(2, 5))),
        ({"kind": "not-in-classes"}, Answer(kind="not-in-classes")),
        ({"kind": "unclear"}, Answer(kind="unclear")),
        ({"kind": "skip"}, None),
    ],
)
def test_each_kind_stands_for_an_answer(values, answer):
    assert answer_of(Verdict(**values), 2) == answer


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kind": "maybe"}, "kind"),
        ({"kind": "confirm", "classes": (1,)}, "confirm needs no class"),
        ({"kind": "suggest"}, "exactly one class"),
        ({"kind": "suggest", "classes": (1, 2)}, "exactly one class"),
        ({"kind": "suggest", "classes": (-1,)}, "greater than or equal to 0"),
        ({"kind": "several", "classes": (1, 1)}, "two or more"),
        ({"kind": "skip", "category": "Non-prototypical", "severity": "Major"}, "skip is no verdict"),
        ({"kind": "confirm", "category": "Non-prototypical"}, "needs a severity"),
        ({"kind": "confirm", "severity": "Minor"}, "needs a severity"),
        ({"kind": "confirm", "category": "blurry", "severity": "Minor"}, "category"),
        ({"kind": "confirm", "note": "a\0b"}, "NUL"),
        ({"kind": "confirm", "note": "\ud800"}, "note"),
        ({"kind": "confirm", "note": "x" * 2001}, "2000"),
        ({"kind": "several", "classes": tuple(range(101))}, "100"),
        ({"kind": "confirm", "reader": "ann"}, "reader"),
    ],
)
def test_a_verdict_that_does_not_fit_is_refused(values, why):
    with pytest.raises(ValidationError, match=why):
        Verdict(**values)


@pytest.mark.parametrize("spelling", ["Fine-grained error with OOV", "Fine-grained with OOV"])
def test_both_released_spellings_are_one_category(spelling):
    verdict = Verdict(kind="confirm", category=spelling, severity="Borderline")
    assert verdict.category is Category.OUT_OF_VOCABULARY
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@pytest.mark.parametrize("text", ["", "a plain note", "\u00fc \ud7ff \ue000 \U0001f41d"])
def test_all_of_unicode_but_surrogates_can_be_kept(text):
    assert storable(text, "the note") == text


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfff"])
def test_what_no_database_keeps_is_refused(text):
    with pytest.raises(ValueError, match="the note holds a NUL or half a surrogate pair"):
        storable(text, "the note")
