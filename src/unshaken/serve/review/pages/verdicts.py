"""Verdicts from forms, and verdicts in words."""

from __future__ import annotations

from pydantic import ValidationError

from unshaken.core.documents import first_problem
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.labels.review.verdict import AnswerKind, Verdict, VerdictKind, answer_of
from unshaken.serve.forms import Form
from unshaken.serve.review.pages.classes import ClassNames
from unshaken.serve.review.records import ItemView

DID = {
    VerdictKind.CONFIRM: "confirmed",
    VerdictKind.SUGGEST: "another class is right",
    VerdictKind.SEVERAL: "several classes are right",
    VerdictKind.NOT_IN_CLASSES: "not in the classes",
    VerdictKind.UNCLEAR: "unclear",
    VerdictKind.SKIP: "skipped",
}
"""Verdicts in words, as the line of status and the log say them."""


def verdict_of(form: Form, classes: ClassNames) -> Verdict:
    """The verdict that a form holds: `kind`, `class` (names, several times), `category`, `severity`, `note`.

    Raises:
        ParameterError: a class is not known, or the fields do not fit together.
    """
    kind = form.one("kind")
    if kind not in list(VerdictKind):
        raise ParameterError(f"{shorten(kind)} is no verdict: choose {', '.join(VerdictKind)}")
    named = form.all("class") if kind in (VerdictKind.SUGGEST, VerdictKind.SEVERAL) else []
    fields = {
        "kind": kind,
        "classes": tuple(classes.number(text) for text in named),
        "category": form.one("category", "") or None,
        "severity": form.one("severity", "") or None,
        "note": form.one("note", "").strip(),
    }
    try:
        return Verdict.model_validate(fields)
    except ValidationError as error:
        raise ParameterError(first_problem(error, "the verdict")) from None


def in_words(verdict: Verdict | None, classes: ClassNames) -> str:
    """A verdict in a few words; a withdrawal where there is none.

    Args:
        verdict: of a reader.
        classes: of the review.
    """
    if verdict is None:
        return "undone"
    if verdict.classes:
        return f"{'several are right: ' if len(verdict.classes) > 1 else ''}{classes.all(verdict.classes)}"
    return DID[verdict.kind]


def is_model_wrong(item: ItemView) -> bool:
    """Whether the reader's verdict says that the model's suggestion, which the reader may see, is wrong."""
    answer = None if item.own is None else answer_of(item.own, item.given)
    if answer is None or item.suggested is None or answer.kind is AnswerKind.UNCLEAR:
        return False
    return item.suggested not in answer.classes
