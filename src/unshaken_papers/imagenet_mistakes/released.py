"""The files of imagenet-mistakes: remaining mistakes as people judged them, and confused classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError, field_validator

from unshaken.core.documents import first_problem, parse_json, read_text, validate
from unshaken.core.errors import DataError
from unshaken.labels.review.verdict import OTHER_SPELLINGS, Category, Severity

ADVICE = "get it again from github.com/google-research/imagenet-mistakes"


class ReleasedMistake(BaseModel):
    """One mistake as people judged it.

    Args:
        prediction: the model's class, by the sorted WordNet ids of ImageNet.
        category: why the model is wrong; the two spellings of the files are one.
        severity: how plainly.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    prediction: NonNegativeInt = Field(alias="top_prediction")
    category: Category = Field(alias="failure category")
    severity: Severity = Field(alias="failure severity")

    @field_validator("category", mode="before")
    @classmethod
    def _one_spelling(cls, value: object) -> object:
        return OTHER_SPELLINGS.get(value, value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often two classes were confused.

    Args:
        first: WordNet id of one class, the lower of the two.
        second: of the other.
        count: mistakes.
    """

    first: str
    second: str
    count: int


def read_mistakes(path: Path) -> dict[str, ReleasedMistake]:
    """The mistakes of one model by file name.

    Args:
        path: `vit3b_mistakes.json`, `greedy_soups_mistakes.json` or one of their form.

    Raises:
        DataError: it is absent, damaged, or of another form.
    """
    found = _read(path)
    if not isinstance(found, dict) or not found:
        raise DataError(f"{path}: holds no mistakes by file name; {ADVICE}")
    return {
        name: validate(ReleasedMistake, value, f"{path}: {name}", DataError, ADVICE) for name, value in found.items()
    }


def read_confusions(path: Path) -> list[Confusion]:
    """Pairs of classes that were confused, each once.

    Args:
        path: `class_confusion_wnids.json`, or one of its form: a list of two WordNet ids and a count each.

    Raises:
        DataError: it is absent, damaged, or of another form.
    """
    try:
        rows = TypeAdapter(list[tuple[str, str, int]]).validate_python(_read(path))
    except ValidationError as error:
        raise DataError(f"{path} is damaged ({first_problem(error)}); {ADVICE}") from None
    return [Confusion(min(a, b), max(a, b), count) for a, b, count in rows]


def _read(path: Path) -> object:
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); {ADVICE}") from None
    return parse_json(text, str(path), DataError, ADVICE)
