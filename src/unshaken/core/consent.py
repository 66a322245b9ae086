"""Which code may run: only code that the user named in this call, never code that a file names.

A SPEC such as `py:net.py:make` runs a file. It may do so where the user wrote it: on the command line, or as an
argument of a public function. The same words in a plan, in `detectors.json`, `run.json` or `model.json` are a
stranger's, however deep they are nested in another SPEC.

- A public function opens the call (`call`, `of_arguments`): its text arguments are the user's words.
- The loader of a kind that runs code asks (`require_named`), after the SPEC was parsed.
- Who reads a file that may name code asks at once (`refuse_code`), so that the message names the file.
- Of a file that may lawfully name code, such as the `run.json` of one's own run, it is noted (`remember_code`); who
  loads what a method names, be it a method made by hand of what was read, asks for that (`refuse_remembered`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from unshaken.core.errors import ModelError
from unshaken.core.texts import PLUS
from unshaken.core.user_code import refuse_exit

CODE_KINDS = frozenset({"mlflow", "py"})
"""Kinds of model SPEC that run code."""
ESCAPES = {"%26": "&", "%2C": ",", "%2c": ",", PLUS: "+", PLUS.lower(): "+"}
"""How `&`, `,` and `+` of a nested SPEC are written inside another one."""

_CODE = re.compile(rf"(?<!\w)(?:{'|'.join(CODE_KINDS)}):[^?&,+]*")
_END = r"(?=$|[?&,+\s\"'])"

_words: ContextVar[tuple[str, ...] | None] = ContextVar("words", default=None)
"""The user's own words in the call under way; None outside any call."""
_remembered: dict[str, str] = {}
"""Code that files named in this process, and one file for each."""

P = ParamSpec("P")
R = TypeVar("R")


def unescape(spec: str) -> str:
    """A SPEC as it is, from how it is written inside another one."""
    for escape, mark in ESCAPES.items():
        spec = spec.replace(escape, mark)
    return spec


@contextmanager
def call(*values: Any) -> Iterator[None]:
    """Open a call of the user's; inside another call it changes nothing, for what it is given may come from a file.

    Args:
        values: what the user gave: texts, lists and tables of texts, and methods with texts as parameters.
    """
    if _words.get() is not None:
        yield
        return
    token = _words.set(tuple(_texts(values)))
    try:
        yield
    finally:
        _words.reset(token)


@contextmanager
def allow_code(*specs: str) -> Iterator[None]:
    """Allow code that a file names, for as long as this lasts; on the command line it is `--allow-code SPEC`.

    Args:
        specs: such as `py:net.py:make`.

    >>> with allow_code("py:net.py:make"):
    ...     is_named("py:net.py:make")
    True
    """
    token = _words.set((*(_words.get() or ()), *_texts(specs)))
    try:
        yield
    finally:
        _words.reset(token)


def of_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """A public function whose arguments are the user's words, and which no code of theirs ends; see `refuse_exit`."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with call(args, kwargs), refuse_exit():
            return function(*args, **kwargs)

    return called


def is_code(spec: str) -> bool:
    """Whether a SPEC is of a kind that runs code.

    >>> is_code("py:net.py:make"), is_code("demo")
    (True, False)
    """
    kind, colon, _ = spec.strip().partition(":")
    return bool(colon) and kind in CODE_KINDS


def words() -> tuple[str, ...] | None:
    """The user's words in the call under way, such as a key of what was loaded in it; None outside any call."""
    return _words.get()


def is_named(spec: str) -> bool:
    """Whether the user named this code in the call under way.

    Args:
        spec: of the code alone, without options.
    """
    wanted = re.compile(rf"(?<!\w){re.escape(spec)}{_END}")
    return any(wanted.search(word) for word in _words.get() or ())


def named_code() -> list[str]:
    """The code that the user named in the call under way, each SPEC once and without options; none outside any call.

    >>> with allow_code("run:runs/a?net=py:net.py:make"):
    ...     named_code()
    ['py:net.py:make']
    """
    return list(dict.fromkeys(found[0].strip() for word in _words.get() or () for found in _CODE.finditer(word)))


def require_named(spec: str) -> None:
    """Refuse to run code that a call under way did not name.

    Outside a call nothing is refused: a program that puts methods together by hand named them itself. What it read from
    a file was refused there, or is refused by `refuse_remembered`.

    Args:
        spec: of the code alone, without options.

    Raises:
        ModelError: the user did not name it.
    """
    if _words.get() is not None and not is_named(spec):
        raise ModelError(_message("a file that was read", spec))


def refuse_code(value: Any, where: str) -> None:
    """Refuse code that a file names, unless the user named it too.

    Args:
        value: of the file: texts, and lists and tables of them.
        where: the file, for messages.

    Raises:
        ModelError: there is such code.
    """
    for text in _texts(value):
        for found in _CODE.finditer(text):
            if not is_named(found[0].strip()):
                raise ModelError(_message(where, found[0].strip()))


def remember_code(value: Any, where: str) -> None:
    """Note code that a file names, unless the user named it too: reading the file is allowed, running its code is not.

    Args:
        value: as of `refuse_code`.
        where: the file, for messages.
    """
    for text in _texts(value):
        for found in _CODE.finditer(text):
            if not is_named(found[0].strip()):
                _remembered.setdefault(found[0].strip(), where)


def refuse_remembered(spec: str) -> None:
    """Refuse a SPEC whose code a file named that this process read, unless the user named it in the call under way.

    Args:
        spec: of a model that a method names.

    Raises:
        ModelError: there is such code.
    """
    for text in _texts(spec):
        for found in _CODE.finditer(text):
            if (name := found[0].strip()) in _remembered and not is_named(name):
                raise ModelError(_message(_remembered[name], name))


def _message(where: str, spec: str) -> str:
    named = repr(spec[:300])
    return (
        f"{where} names the code {named}, which would be executed: read it, and where you trust it allow it in this "
        f"call: --allow-code {named}, or in Python unshaken.core.allow_code({named})"
    )


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, each also with nested SPECs as they are meant."""
    if isinstance(value, str):
        yield value
        if (inside := unescape(value)) != value:
            yield inside
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _texts(inner)
    elif hasattr(type(value), "model_fields"):  # a pydantic model, without the import that `--help` would wait for
        for name in type(value).model_fields:
            yield from _texts(getattr(value, name))
