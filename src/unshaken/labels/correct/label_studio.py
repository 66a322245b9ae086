"""Label Studio's JSON: one task a sample, one annotation a reader, the model's suggestion a prediction; and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from unshaken.core.documents import parse_json, validate
from unshaken.core.errors import DataError
from unshaken.labels.correct.outcome import ForeignVerdict, Outcome, check_names, label_numbers
from unshaken.labels.review.verdict import Answer, AnswerKind

LABEL, OUTCOME = "label", "outcome"
"""Names of the two choices of a task: the right classes, and `not-in-classes` or `unclear` where there are none."""
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <Choices name="label" toName="image" choice="multiple">{choices}</Choices>
  <Choices name="outcome" toName="image"><Choice value="not-in-classes"/><Choice value="unclear"/></Choices>
</View>"""
"""The labelling interface that fits; `{choices}` stands for one `<Choice value="..."/>` a class."""


def to_label_studio(outcome: Outcome) -> list[dict[str, Any]]:
    """Tasks to import into Label Studio.

    Args:
        outcome: of a review.

    Raises:
        ParameterError: two classes have the same name.
    """
    check_names(outcome.classes, "Label Studio")
    return [
        {
            "data": {"image": one.sample, "id": one.sample, "given": outcome.classes[one.given]},
            "annotations": [
                {"completed_by": {"email": reader}, "result": [_choices(answer, outcome.classes)]}
                for reader, answer in one.answers.items()
            ],
            "predictions": [] if one.suggested is None else [
                {
                    "model_version": "unshaken",
                    "result": [_choices(Answer(kind=AnswerKind.LABELS, classes=(one.suggested,)), outcome.classes)],
                }
            ],
        }
        for one in outcome.labels
    ]  # fmt: skip


def from_label_studio(path: Path, classes: tuple[str, ...]) -> list[ForeignVerdict]:
    """The readers' answers in tasks that Label Studio exported, or `to_label_studio` made.

    Args:
        path: JSON; the id of a sample is `data.id`, or else `data.image`.
        classes: names in label order.

    Raises:
        DataError: it cannot be read, or a choice is no class.
    """
    try:
        value = parse_json(path.read_bytes(), str(path), DataError)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if not isinstance(value, list):
        raise DataError(f"{path}: is no list of tasks, as Label Studio's format JSON has it")
    found = []
    for number, one in enumerate(value):
        where = f"{path}: task {number}"
        task = validate(Task, one, where, DataError)
        sample = str(task.data.get("id") or task.data.get("image") or "")
        for annotation in task.annotations:
            if not annotation.was_cancelled and (answer := _answer(annotation, classes, where)) is not None:
                found.append(ForeignVerdict(sample, annotation.reader, answer))
    return found


class Annotation(BaseModel):
    """One person's verdict on a task.

    Args:
        completed_by: the person: a number, or a record with an address.
        result: choices.
        was_cancelled: whether it was skipped.
    """

    completed_by: dict[str, Any] | int | str | None = None
    result: list[dict[str, Any]] = Field(default_factory=list)
    was_cancelled: bool = False

    @property
    def reader(self) -> str | None:
        """Name of the person."""
        who = self.completed_by
        if isinstance(who, dict):
            who = who.get("email") or who.get("username") or who.get("id")
        return None if who is None else str(who)


class Task(BaseModel):
    """A task of Label Studio.

    Args:
        data: of the task; `id` or `image` names the sample.
        annotations: of people.
    """

    data: dict[str, Any]
    annotations: list[Annotation] = Field(default_factory=list)


def _choices(answer: Answer, classes: tuple[str, ...]) -> dict[str, Any]:
    named = answer.kind is AnswerKind.LABELS
    words = [classes[c] for c in answer.classes] if named else [answer.kind.value]
    name = LABEL if named else OUTCOME
    return {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": words}}


def _answer(annotation: Annotation, classes: tuple[str, ...], where: str) -> Answer | None:
    for result in annotation.result:
        value = result.get("value")
        words = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            continue
        if result.get("from_name") == OUTCOME:
            if words[0] not in (AnswerKind.NOT_IN_CLASSES.value, AnswerKind.UNCLEAR.value):
                raise DataError(f"{where}: the choice {words[0]!r} is neither not-in-classes nor unclear")
            return Answer(kind=AnswerKind(words[0]))
        return Answer(kind=AnswerKind.LABELS, classes=label_numbers(words, classes, where))
    return None
