"""`keywords`: a function's options as keyword-only parameters that editors, `help` and `inspect` show."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from unshaken.core.errors import did_you_mean
from unshaken.core.options import declared

F = TypeVar("F", bound=Callable[..., Any])


def keywords(record: type | None = None, **defaults: Any) -> Callable[[F], F]:
    """Show the fields of an options record in place of a function's `**options`, and refuse a wrong keyword.

    The signature gets a keyword-only parameter for each field, with its type and default, and the docstring its
    description: they are written once, in the record.

    Args:
        record: a `TypedDict` of options such as `Options`, or a dataclass or pydantic model that the function makes of
            its `**options`; None for a function whose parameters are all its own.
        defaults: of this function, where they differ from the record's.

    >>> @keywords()
    ... def draw(*, seed: int = 0) -> int:
    ...     return seed
    >>> draw(sed=1)
    Traceback (most recent call last):
    TypeError: draw() has no parameter 'sed'; did you mean 'seed'?
    """

    def enter(function: F) -> F:
        own = inspect.signature(function)
        rest = next((p.name for p in own.parameters.values() if p.kind is p.VAR_KEYWORD), "")
        fields = _fields(record, defaults) if record is not None else []
        parameters = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD] + fields
        known = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]

        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            for name in given:
                if name not in known:
                    raise TypeError(f"{function.__name__}() has no parameter {name!r}; {did_you_mean(name, known)}")
            return function(*args, **given)

        call.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        if record is not None and function.__doc__:
            call.__doc__ = _described(function.__doc__, rest, _descriptions(record))
        return typing.cast(F, call)

    return enter


def _fields(record: type, defaults: dict[str, Any]) -> list[inspect.Parameter]:
    """The fields of a record as keyword-only parameters."""
    types = typing.get_type_hints(record)
    if typing.is_typeddict(record):
        found = {name: option.default for name, (_, option) in declared(record).items()}
    else:
        found = {name: field.default for name, field in _defaults(record).items()}
    return [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=types[n])
        for n, value in {**found, **defaults}.items()
    ]


def _defaults(record: type) -> dict[str, FieldInfo | dataclasses.Field[Any]]:
    if issubclass(record, BaseModel):
        return dict(record.model_fields)
    return {f.name: f for f in dataclasses.fields(typing.cast(Any, record))}


def _descriptions(record: type) -> dict[str, str]:
    """Field to description: of an option its help, a pydantic model's own, or the `Args` of a dataclass's docstring."""
    if typing.is_typeddict(record):
        return {
            name: re.sub(r"--([a-z][a-z-]*)", lambda flag: f"`{flag[1].replace('-', '_')}`", option.help)
            for name, (_, option) in declared(record).items()
        }
    if issubclass(record, BaseModel):
        return {n: f"{f.description}." for n, f in record.model_fields.items() if f.description}
    text = inspect.getdoc(record) or ""
    lines = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", text, re.MULTILINE)
    return {name: " ".join(description.split()) for name, description in lines}


def _described(doc: str, rest: str, descriptions: dict[str, str]) -> str:
    """A docstring whose line on `**rest` is replaced by a line on each field."""

    def lines(found: re.Match[str]) -> str:
        return "".join(f"{found[1]}{name}: {description}\n" for name, description in descriptions.items())

    return re.sub(rf"^( +){re.escape(rest)}: .*\n(?:\1 +.*\n)*", lines, doc, count=1, flags=re.MULTILINE)
