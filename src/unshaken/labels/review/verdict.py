"""A reader's verdict on one label, and the row that keeps it for ever."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator, model_validator
from typing_extensions import override

LONGEST_NOTE = 2000
LONGEST_TOKEN = 100
MOST_CLASSES = 100
"""Classes that one verdict may name."""


class VerdictKind(StrEnum):
    """The answers that a reader may give."""

    CONFIRM = "confirm"
    SUGGEST = "suggest"
    SEVERAL = "several"
    NOT_IN_CLASSES = "not-in-classes"
    UNCLEAR = "unclear"
    SKIP = "skip"


class Category(StrEnum):
    """Why a model is wrong: the strings of the released files of ImageNet-M."""

    FINE_GRAINED = "Fine-grained error"
    OUT_OF_VOCABULARY = "Fine-grained error with OOV"
    SPURIOUS = "Spurious Correlation"
    NON_PROTOTYPICAL = "Non-prototypical"
    MULTI_LABEL = "Fine-grained with Multilabel Options"


class Severity(StrEnum):
    """How bad a model's mistake is to a person: the strings of the released files of ImageNet-M."""

    MAJOR = "Major"
    MINOR = "Minor"
    BORDERLINE = "Borderline"


OTHER_SPELLINGS = {"Fine-grained with OOV": Category.OUT_OF_VOCABULARY}
"""Strings of a second released file for the same category."""

_NUMBER = {
    VerdictKind.SUGGEST: "exactly one class",
    VerdictKind.SEVERAL: "two or more different classes",
}


class Verdict(BaseModel):
    """A reader's verdict on the label of one sample.

    Args:
        kind: `confirm` (the given label is right), `suggest` (another class is), `several` (more than one class is
            right), `not-in-classes` (none is), `unclear` (people cannot tell), `skip` (no verdict).
        classes: label numbers: one for `suggest`, two or more for `several`, none for the others; kept in order.
        category: why the model is wrong, with its severity, or None.
        severity: how bad the model's mistake is, or None.
        note: free text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: VerdictKind
    classes: tuple[NonNegativeInt, ...] = Field(default=(), max_length=MOST_CLASSES)
    category: Category | None = None
    severity: Severity | None = None
    note: str = Field(default="", max_length=LONGEST_NOTE)

    @field_validator("category", mode="before")
    @classmethod
    def _one_spelling(cls, value: Any) -> Any:
        return OTHER_SPELLINGS.get(value, value) if isinstance(value, str) else value

    @field_validator("note")
    @classmethod
    def _plain_text(cls, value: str) -> str:
        return storable(value, "the note")

    @field_validator("classes", mode="after")
    @classmethod
    def _in_order(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _fits(self) -> Verdict:
        n, kind = len(self.classes), self.kind
        fits = n == 1 if kind is VerdictKind.SUGGEST else n >= 2 if kind is VerdictKind.SEVERAL else n == 0
        if not fits:
            raise ValueError(f"{kind.value} needs {_NUMBER.get(kind, 'no class')}, not {n}")
        if (self.category is None) != (self.severity is None):
            raise ValueError("a category needs a severity, and a severity a category: give both or neither")
        if self.category is not None and kind is VerdictKind.SKIP:
            raise ValueError("skip is no verdict: it has no category")
        return self


class AnswerKind(StrEnum):
    """The three outcomes that a verdict may have for a label."""

    LABELS = "labels"
    NOT_IN_CLASSES = "not-in-classes"
    UNCLEAR = "unclear"


class Answer(BaseModel):
    """The label or labels that a verdict stands for; two verdicts agree if their answers are equal.

    Args:
        kind: `labels`, `not-in-classes` or `unclear`.
        classes: the right classes in order; empty unless the kind is `labels`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: AnswerKind
    classes: tuple[NonNegativeInt, ...] = ()

    @override
    def __str__(self) -> str:
        return " ".join(map(str, self.classes)) or self.kind.value


def answer_of(verdict: Verdict, given: int) -> Answer | None:
    """The answer that a verdict gives; None for `skip`.

    Args:
        verdict: of a reader.
        given: the label that was shown.

    >>> answer_of(Verdict(kind="confirm"), 3) == answer_of(Verdict(kind="suggest", classes=(3,)), 3)
    True
    """
    if verdict.kind is VerdictKind.SKIP:
        return None
    if verdict.kind is VerdictKind.CONFIRM:
        return Answer(kind=AnswerKind.LABELS, classes=(given,))
    if verdict.classes:
        return Answer(kind=AnswerKind.LABELS, classes=verdict.classes)
    return Answer(kind=AnswerKind(verdict.kind.value))


class Action(StrEnum):
    """The kinds of rows in the log of a review."""

    VERDICT = "verdict"
    SETTLE = "settle"
    WITHDRAW = "withdraw"


class ReviewContext(BaseModel):
    """The evidence that a reader had on the screen when the verdict was given.

    Args:
        suggestion: whether the model's suggestion could be seen.
        labels: name of the version of the labels that was shown as given.
        neighbours: ids of the reference pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suggestion: bool
    labels: str = "given"
    neighbours: tuple[str, ...] = ()


class RecordedVerdict(BaseModel):
    """One row of a review's log. Rows are appended and never changed.

    Args:
        number: place in the log of the review, from 1, without gaps, in the order of the commits.
        item: number of the item in the review, from 1.
        reader: name of who acted.
        time: when, UTC.
        software: version of unshaken.
        action: a verdict, the settlement of a disagreement, or the withdrawal of an earlier row.
        verdict: the verdict; None for a withdrawal.
        shown: what the reader had on the screen.
        withdraws: number of the row that is withdrawn.
        token: the client's own name of this act; the same one again adds no row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    item: int = Field(ge=1)
    reader: str
    time: datetime
    software: str
    action: Action
    verdict: Verdict | None
    shown: ReviewContext
    withdraws: int | None = None
    token: str = Field(min_length=1, max_length=LONGEST_TOKEN)


def storable(text: str, what: str) -> str:
    """The text, if every database can keep it.

    Args:
        text: from outside.
        what: it is, for the message.

    Raises:
        ValueError: it holds a NUL, or is no Unicode text.
    """
    if "\0" in text or any(0xD800 <= ord(c) < 0xE000 for c in text):
        raise ValueError(f"{what} holds a NUL or half a surrogate pair, which no database keeps: remove it")
    return text
