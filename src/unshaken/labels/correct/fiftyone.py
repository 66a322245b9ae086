"""FiftyOne's JSON for images with a class (`FiftyOneImageClassificationDataset`); and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from unshaken.core.documents import parse_json, validate
from unshaken.core.errors import DataError
from unshaken.labels.correct.outcome import (
    ForeignVerdict,
    Outcome,
    check_names,
    final_label,
    label_numbers,
    parse_answer,
)
from unshaken.labels.review.verdict import Answer, AnswerKind


def to_fiftyone(outcome: Outcome) -> dict[str, Any]:
    """The content of `labels.json`: sample to its label, with people's verdicts as attributes.

    Args:
        outcome: of a review.

    Returns:
        `classes`, and `labels`: the id of each sample to its label to train with and attributes; None for no label.

    Raises:
        ParameterError: two classes have the same name.
    """
    check_names(outcome.classes, "FiftyOne")
    labels: dict[str, Any] = {}
    for one in outcome.labels:
        final = final_label(one)
        attributes = {
            "given": outcome.classes[one.given], "state": one.state.value,
            "answer": "" if one.answer is None else str(one.answer),
        }  # fmt: skip
        label = None if final is None else outcome.classes[final]
        labels[one.sample] = {"label": label, "attributes": attributes}
    return {"classes": list(outcome.classes), "labels": labels}


def from_fiftyone(path: Path, classes: tuple[str, ...]) -> list[ForeignVerdict]:
    """The answers in a `labels.json`, of no stated reader.

    Args:
        path: JSON; a label is a class name, a number of its `classes`, several of them, or a record with `label`.
        classes: names in label order, of the review.

    Raises:
        DataError: it cannot be read, or a label is no class.
    """
    try:
        value = parse_json(path.read_bytes(), str(path), DataError)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    file = validate(LabelsFile, value, str(path), DataError)
    found = []
    for sample, label in file.labels.items():
        if (answer := _answer(label, file.classes, classes, f"{path}: sample {sample!r}")) is not None:
            found.append(ForeignVerdict(sample, None, answer))
    return found


class LabelsFile(BaseModel):
    """A `labels.json` of FiftyOne.

    Args:
        classes: names that numbers stand for, or None where labels are names.
        labels: sample to label.
    """

    classes: list[str] | None = None
    labels: dict[str, Any]


def _answer(label: Any, names: list[str] | None, classes: tuple[str, ...], where: str) -> Answer | None:
    if isinstance(label, dict):
        attributes = label.get("attributes")
        text = attributes.get("answer") if isinstance(attributes, dict) else None
        if isinstance(text, str):
            return parse_answer(text, where) if text else None
        label = label.get("label")
    if label is None:
        return None
    words = label if isinstance(label, list) else [label]
    if names is not None and all(isinstance(w, int) and 0 <= w < len(names) for w in words):
        words = [names[w] for w in words]
    if not words or not all(isinstance(w, str) for w in words):
        raise DataError(f"{where}: {label!r} is no label")
    return Answer(kind=AnswerKind.LABELS, classes=label_numbers(words, classes, where))
