"""`Outcome`: the labels of a review at one version, the one label to train with, and why labels changed or stayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import shorten
from unshaken.labels.review.protocol import ReviewedLabel
from unshaken.labels.review.verdict import Answer, AnswerKind, Verdict, VerdictKind


@dataclass(frozen=True, slots=True)
class Outcome:
    """The labels of a review at one version, as exports need them.

    Args:
        classes: names in label order.
        labels: of the samples that have a verdict.
        version: name of the point in the log.
        review: name.
        data: SPEC of the data.
    """

    classes: tuple[str, ...]
    labels: Sequence[ReviewedLabel]
    version: str
    review: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class ForeignVerdict:
    """A reader's answer that was read from a file.

    Args:
        sample: id in the data.
        reader: name, or None where the file does not say.
        answer: of the reader.
    """

    sample: str
    reader: str | None
    answer: Answer


def final_label(label: ReviewedLabel) -> int | None:
    """The one label to train with; None where the sample should not be used.

    The given label stays where there is no answer yet, where people cannot tell, and where it is one of several right
    ones. Of several right ones without the given label none is chosen.

    Args:
        label: the outcome for a sample.
    """
    answer = label.answer
    if answer is None or answer.kind is AnswerKind.UNCLEAR or label.given in answer.classes:
        return label.given
    return answer.classes[0] if len(answer.classes) == 1 else None


def verdict_for(answer: Answer, given: int) -> Verdict:
    """Make the verdict that stands for an answer.

    Args:
        answer: of a reader.
        given: the label that is reviewed.
    """
    if answer.kind is not AnswerKind.LABELS:
        return Verdict(kind=VerdictKind(answer.kind.value))
    if answer.classes == (given,):
        return Verdict(kind=VerdictKind.CONFIRM)
    kind = VerdictKind.SUGGEST if len(answer.classes) == 1 else VerdictKind.SEVERAL
    return Verdict(kind=kind, classes=answer.classes)


def parse_answer(text: str, where: str) -> Answer:
    """An answer from its text: label numbers with spaces between them, `not-in-classes` or `unclear`.

    Args:
        text: as `str(answer)` gives it.
        where: the file and place, for messages.

    Raises:
        DataError: it is neither.

    >>> parse_answer("2 5", "line 3").classes
    (2, 5)
    """
    words = text.split()
    if text in (AnswerKind.NOT_IN_CLASSES.value, AnswerKind.UNCLEAR.value):
        return Answer(kind=AnswerKind(text))
    if words and all(word.isascii() and word.isdigit() and len(word) < 8 for word in words):
        return Answer(kind=AnswerKind.LABELS, classes=tuple(sorted({int(word) for word in words})))
    raise DataError(f"{where}: {shorten(text)} is no answer: write label numbers, not-in-classes or unclear")


def label_numbers(names: Sequence[str], classes: Sequence[str], where: str) -> tuple[int, ...]:
    """Look up the label numbers of class names.

    Args:
        names: from a file.
        classes: names in label order.
        where: the file and place, for messages.

    Raises:
        DataError: a name is no class, or stands for several.
    """
    found = []
    for name in names:
        if classes.count(name) != 1:
            why = "stands for several classes" if name in classes else "is no class of the review"
            raise DataError(f"{where}: {shorten(name)} {why}")
        found.append(classes.index(name))
    return tuple(sorted(set(found)))


def check_names(classes: Sequence[str], tool: str) -> None:
    """Check that names tell classes apart, for a tool that knows classes by name.

    Raises:
        ParameterError: two classes have the same name.
    """
    twice = {name for name in classes if classes.count(name) > 1} if len(set(classes)) < len(classes) else set()
    if twice:
        raise ParameterError(f"{tool} knows classes by name, and {shorten(min(twice))} stands for several: use csv")


ANOTHER = "another class"
"""What people say of most labels that change."""
UNDECIDED = "not decided yet"


@dataclass(frozen=True, slots=True)
class Reason:
    """People's verdicts on some labels, and the outcome of these labels.

    Args:
        answer: such as `another class` or `people cannot tell`.
        decided: `agreed` by the readers, `settled` after a disagreement, or the state of an item without an answer.
        effect: `changed`, `removed` (no single label is right) or `kept`.
    """

    answer: str
    decided: str
    effect: str


def reason_of(label: ReviewedLabel) -> Reason:
    """Why a reviewed label changed or stayed.

    Args:
        label: the outcome of the review for one sample.
    """
    final = final_label(label)
    effect = "removed" if final is None else "kept" if final == label.given else "changed"
    return Reason(_answer(label), label.state.value, effect)


def count_reasons(labels: Iterable[ReviewedLabel]) -> list[tuple[Reason, int]]:
    """Each reason with its number of labels: those of changes first, then the most frequent.

    Args:
        labels: the outcome of a review.
    """
    found = Counter(map(reason_of, labels))
    order = ("changed", "removed", "kept")
    return sorted(found.items(), key=lambda one: (order.index(one[0].effect), -one[1], one[0].answer, one[0].decided))


def _answer(label: ReviewedLabel) -> str:
    answer = label.answer
    if answer is None:
        return UNDECIDED
    if answer.kind is AnswerKind.UNCLEAR:
        return "people cannot tell"
    if answer.kind is AnswerKind.NOT_IN_CLASSES:
        return "none of the classes"
    if len(answer.classes) == 1:
        return "the label is right" if answer.classes == (label.given,) else ANOTHER
    return "several classes, the label among them" if label.given in answer.classes else "several other classes"
