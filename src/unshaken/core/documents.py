"""JSON and YAML from outside: whatever is wrong with them becomes one line, and nothing in them is code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError, UnshakenError
from unshaken.core.numbers import shorten
from unshaken.core.values import strict_values

M = TypeVar("M", bound=BaseModel)
DEEPEST = 50
"""Levels of nesting in a YAML file."""
LONGEST = 1 << 20
"""Bytes of a YAML file."""
LONGEST_NAMES = 64 << 20
"""Bytes of a file of class names."""
MOST_NODES = 100_000
"""Values of a YAML file, each alias counted as what it stands for."""


def parse_json(data: bytes | str, where: str, error: type[UnshakenError], advice: str = "") -> Any:
    """The value of a JSON text.

    Args:
        data: the text.
        where: the file, for messages.
        error: what is raised.
        advice: what to do, for messages.

    Raises:
        UnshakenError: of the type `error`: the text is no JSON, nested too deeply, or has a key twice.
    """
    try:
        return json.loads(data, parse_constant=refuse_constant, object_pairs_hook=check_distinct)
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as found:  # digits beyond what an int may have, and bytes that are no UTF-8, included
        why = str(found).partition(";")[0]
    raise error(f"{where} is damaged ({why}){advice and f'; {advice}'}")


def check_regular(path: str | Path) -> None:
    """Refuse what may be read without an end, such as a device or a pipe.

    Raises:
        DataError: there is something other than a file; an absent file is left to its reader.
    """
    if (place := Path(path)).exists() and not place.is_file():
        raise DataError(f"{path}: is no regular file")


def refuse_constant(name: str) -> None:
    """Refuse `NaN`, `Infinity` and `-Infinity`, which Python's reader of JSON takes by itself.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no JSON")


def check_distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of a JSON text from its keys and values.

    Raises:
        ValueError: a key stands twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {shorten(max(names, key=names.count))} stands twice")
    return found


def validate(model: type[M], value: Any, where: str, error: type[UnshakenError], advice: str = "") -> M:
    """A record from the value of a JSON text.

    Args:
        model: of the record.
        value: as `parse_json` gives it.
        where: the file, for messages.
        error: what is raised.
        advice: what to do, for messages.

    Raises:
        UnshakenError: of the type `error`: a field is absent, unknown, or of another type, or the record's `schema` is
            of a later version.
    """
    if (known := model.model_fields.get("schema_")) is not None:
        refuse_later(value, where, error, newest=max(get_args(known.annotation)))
    try:
        return model.model_validate(strict_values(model, value) if isinstance(value, dict) else value)
    except ValidationError as found:
        why = first_problem(found)
    except (ParameterError, RecursionError) as found:
        why = str(found)
    raise error(f"{where} is damaged ({why}){advice and f'; {advice}'}")


def refuse_later(value: Any, where: str, error: type[UnshakenError], *, newest: int = 1) -> None:
    """Refuse a table that a later version of unshaken wrote in a form of its own.

    Args:
        value: of a JSON file.
        where: the file, for messages.
        error: what is raised.
        newest: the largest `schema` that is read.

    Raises:
        UnshakenError: of the type `error`: its `schema` is larger.
    """
    schema = value.get("schema") if isinstance(value, dict) else None
    if type(schema) is int and schema > newest:
        raise error(f"{where} has the schema {schema}, of a later version of unshaken: read it with that one")


def first_problem(error: ValidationError, whole: str = "all of it") -> str:
    """The first thing that pydantic found, with the field's name, or `whole` where it is about no field."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(p) for p in first["loc"]) or whole
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def read_text(path: Path, most: int = LONGEST) -> str:
    """The text of a file of a sensible size.

    Args:
        path: a regular file; a device or a pipe might never end.
        most: bytes it may have.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        UnicodeDecodeError: it is no UTF-8 text.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is a directory" if path.is_dir() else "it is no regular file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"it has more than {most >> 20} MiB")
    return data.decode("utf-8")


def read_yaml(path: Path, what: str, error: type[UnshakenError]) -> Any:
    """The value of a YAML file: text, decimal numbers, true, false, null, lists and tables; no tags, no dates.

    Args:
        path: the file.
        what: how it is called in messages, such as `plan 'fog.yaml'`.
        error: what is raised.

    Raises:
        UnshakenError: of the type `error`: it cannot be read, is no YAML, or is too large or too deeply nested.
    """
    try:
        text = read_text(path)
        _check_events(text, what, error)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if _size(node, {}) > MOST_NODES:
                raise error(f"{what} has more than {MOST_NODES:,} values with its aliases spread out; write fewer")
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except OSError as found:
        raise error(f"{what}: {found.strerror or found}") from None
    except RecursionError:
        raise error(f"{what} is nested too deeply, or an alias holds itself") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as found:
        raise error(f"{what} is not valid YAML: {' '.join(str(found).split())[:300]}") from None


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core types: no hexadecimal, octal or sexagesimal numbers, no underscores, no dates, no `yes`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, Any]]] = {}

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        known_keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in known_keys:
                    raise yaml.YAMLError(f"the key {shorten(key.value)} stands twice in line {key.start_mark.line + 1}")
                known_keys.add(key.value)
        return super().construct_mapping(node, deep)


def _resolvers() -> None:
    import re

    for tag, pattern, first in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?[0-9]{1,18}", "-+0123456789"),
        ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+.0123456789"),
        ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("merge", r"<<", "<"),
    ):
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


_resolvers()
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_Loader.add_constructor(
    "tag:yaml.org,2002:float",
    lambda loader, node: float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan")),
)


def _check_events(text: str, what: str, error: type[UnshakenError]) -> None:
    """Refuse tags and deep nesting before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if (tag := getattr(event, "tag", None)) is not None:
            raise error(f"{what} is not valid YAML: the tag {tag[:100]!r} is not read here; remove it")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise error(f"{what} is nested more than {DEEPEST} levels deep; write it flatter")


def _size(node: Any, known: dict[int, int]) -> int:
    """Values in a tree of nodes, a shared one counted each time; an alias inside itself recurses without end."""
    if id(node) in known:
        return known[id(node)]
    children = node.value if isinstance(node, yaml.CollectionNode) else []
    flat = [c for pair in children for c in pair] if isinstance(node, yaml.MappingNode) else children
    size = 1 + sum(_size(c, known) for c in flat)
    known[id(node)] = size
    return size
