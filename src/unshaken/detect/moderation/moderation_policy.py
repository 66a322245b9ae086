"""A moderation policy: categories with definitions, and the classes of labelled images that stand for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, model_validator

from unshaken.core.documents import read_yaml
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.registry import Parameters


class Category(Parameters):
    """A category of content that a policy does not allow."""

    name: str = Field(description="short, unique in its policy", min_length=1)
    definition: str = Field(default="", description="what falls under it, in words for a person or a model that reads")
    classes: tuple[int | str, ...] = Field(
        default=(),
        description="classes of labelled images that show it, by name or number; none for the class of its own name",
    )


class Policy(Parameters):
    """A content policy: the categories that are not allowed. This package measures against it and does not judge it."""

    name: str = Field(default="policy", description="name of the policy")
    categories: tuple[Category, ...] = Field(description="what is not allowed", min_length=1)
    labels: tuple[str, ...] = Field(
        default=(), description="names of the classes of labelled images, in the order of numbers"
    )

    @model_validator(mode="after")
    def _unique(self) -> Policy:
        names = self.names
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise ValueError(f"category {twice!r} stands twice in the policy")
        return self

    @property
    def names(self) -> list[str]:
        """Names of the categories, in order."""
        return [c.name for c in self.categories]

    def members(self, classes: int, names: Sequence[str] = ()) -> list[tuple[int, ...]]:
        """For each category the numbers of its classes.

        Args:
            classes: K, how many classes labelled images have.
            names: theirs in order, where the policy does not say them (`labels`).

        Raises:
            ParameterError: a class has no such name or number.
        """
        labels = self.labels or tuple(names)
        return [tuple(self._number(c, classes, labels) for c in own.classes or (own.name,)) for own in self.categories]

    def _number(self, name: int | str, classes: int, labels: Sequence[str]) -> int:
        text = str(name)
        if text in labels:
            return labels.index(text)
        if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < classes:
            return int(text)
        known = labels or [f"0 to {classes - 1}; give labels to use names"]
        raise ParameterError(f"policy {self.name!r}: no class {text!r}; {did_you_mean(text, known)}")


def read_policy(path: str | Path) -> Policy:
    """Read a policy from YAML: `name`, `labels`, and `categories` with `name`, `definition` and `classes` each.

    Raises:
        DataError: the file is absent or no YAML.
        ParameterError: what is in it is no policy; the message names the field.
    """
    record = read_yaml(Path(path), f"policy {str(path)!r}", DataError)
    if not isinstance(record, dict):
        raise DataError(f"policy {str(path)!r} is {type(record).__name__}, not a table with 'categories'")
    try:
        return Policy(**{str(k): v for k, v in record.items()})
    except ParameterError as error:
        raise ParameterError(f"policy {str(path)!r}: {error}") from None


def flagged_classes(unsafe: Sequence[str], labels: Sequence[str] = ()) -> Policy:
    """The policy that each of some classes is a category of its own.

    Args:
        unsafe: their names or numbers.
        labels: names of all classes in the order of numbers, where names are used.
    """
    return Policy(name="flagged classes", categories=[{"name": c} for c in unsafe], labels=tuple(labels))
