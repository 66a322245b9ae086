"""Why labels changed in a review, and why others stayed: what people said, and how it was decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from unshaken.labels.correct.outcome import final_label
from unshaken.labels.review.protocol import ReviewedLabel
from unshaken.labels.review.verdict import AnswerKind

ANOTHER = "another class"
"""What people say of most labels that change."""
UNDECIDED = "not decided yet"


@dataclass(frozen=True, slots=True)
class Reason:
    """What people said of some labels, and what became of these.

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
