"""The one registry: a decorator fills it, and lists, command line, forms, docs and tests are made from it."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import EntryPoint
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.imports import plugins
from unshaken.core.numbers import parse_number as parse_number
from unshaken.core.numbers import shorten
from unshaken.core.sources import PACKAGE, ROOMS, modules_named, sources_of
from unshaken.core.texts import parse_values
from unshaken.core.values import strict_values, text_of


class Parameters(BaseModel):
    """The base of every method: its fields are its parameters, validated, frozen and given by keyword.

    A field's description says what it is and in which unit.

    Raises:
        ParameterError: a value is not allowed; the message has the value met and the values allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    room: ClassVar[str] = ""
    info: ClassVar[Method]

    def __init__(self, **values: Any) -> None:
        name = self.info.name if "info" in type(self).__dict__ else type(self).__name__
        values = strict_values(type(self), values, name)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ParameterError(f"{name}: {_first_line(error, type(self))}") from None
        except (TypeError, AttributeError, OverflowError) as error:  # a field's own reader met another type
            raise ParameterError(f"{name}: a value is of the wrong type ({error})") from None

    @property
    def further_models(self) -> tuple[str, ...]:
        """SPECs of further models whose weights also decide the rows, such as surrogates."""
        return ()

    @property
    def further_files(self) -> tuple[str, ...]:
        """Files, or folders of files, whose content also decides the rows, such as a generator or masks."""
        return ()

    @property
    def further_data(self) -> tuple[str, ...]:
        """SPECs of further data whose content also decides the rows."""
        return ()

    @classmethod
    def from_text(cls, values: Mapping[str, Any]) -> Self:
        """Parameters as on the command line or in a plan: text will do, and numbers may be fractions (`8/255`)."""
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Method:
    """Registry entry of a method.

    Args:
        name: the field's standard term, unique over all rooms.
        room: the room it stands in.
        cls: its class, a pydantic model of its parameters.
        reference: the publication, with an address.
        needs: what it asks of a model: `logits`, `gradient`, `features`, `attention`, `text`; empty when nothing.
        norms: `linf`, `l2`, `l1` where it has a budget.
        tags: what else lists and measures group by, such as `{"group": "noise"}`.
        title: its name on pages, such as `PGD`; empty for the words of its name.
    """

    name: str
    room: str
    cls: type[Any]
    reference: str
    needs: frozenset[str] = frozenset()
    norms: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    title: str = ""

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Name to JSON schema (type, default, bounds, description) of each parameter; `field` is another name of it.

        The schema of a tuple is an array's with `"format": "plus-separated"`: it may be written as text `a+b`.
        """
        schema = self.cls.model_json_schema()
        found = {k: {a: b for a, b in v.items() if a != "title"} for k, v in schema.get("properties", {}).items()}
        for parts in ([v, *v.get("anyOf", ())] for v in found.values()):
            for array in (p for p in parts if p.get("type") == "array"):
                array["format"] = "plus-separated"
        for name, field_info in self.cls.model_fields.items():
            if field_info.alias is not None:
                found[field_info.alias]["field"] = name
        return found

    def record(self) -> dict[str, Any]:
        """Everything that lists show of it, as `unshaken list --json` prints it."""
        return {
            "name": self.name,
            "room": self.room,
            "summary": self.summary,
            "parameters": self.parameters(),
            "needs": sorted(self.needs),
            "norms": list(self.norms),
            "tasks": list(getattr(self.cls, "tasks", ())),
            "tags": self.tags,
            "reference": self.reference,
        }


RECORDS = "core/methods.json"
"""File of the package with the records of its methods, one a line."""
_methods: dict[str, Method] = {}
_recorded: dict[str, str] = {}
_plugins: set[EntryPoint] = set()
C = TypeVar("C", bound=Parameters)


def register(
    name: str,
    *,
    reference: str,
    needs: Iterable[str] = (),
    norms: Iterable[str] = (),
    title: str = "",
    **tags: str,
) -> Callable[[type[C]], type[C]]:
    """Enter a class into the registry under a name.

    Args:
        name: the field's standard term, unique over all rooms.
        reference: the publication, with an address.
        needs: what it asks of a model, beyond what its base says.
        norms: norms of its budget, beyond what its base says.
        title: its name on pages where that is not the words of its name, such as `PGD`; written out, for pages take it
            from the file's text.
        tags: further marks, such as `group="noise"`.

    Raises:
        ValueError: the name is taken, or the class belongs to no room.
    """

    def enter(cls: type[C]) -> type[C]:
        if not cls.room:
            raise ValueError(f"{cls.__name__} has no room: derive it from a room's base class")
        other = _methods.get(name)
        if other is not None and other.cls.__qualname__ != cls.__qualname__:
            raise ValueError(f"the name {name!r} is taken by {other.cls.__module__}.{other.cls.__qualname__}")
        asked = frozenset(needs) or getattr(cls, "needs", frozenset())
        spans = tuple(norms) or getattr(cls, "norms", ())
        cls.info = Method(name, cls.room, cls, reference, asked, spans, dict(tags), title)
        _methods[name] = cls.info
        return cls

    return enter


def unregister(name: str) -> None:
    """Take a name out again (for tests and notebooks that define a method twice)."""
    _methods.pop(name, None)


def list_methods(room: str | None = None) -> list[Method]:
    """Every method, in the order of rooms and names, those of installed plug-ins (group `unshaken.methods`) included.

    Args:
        room: only the methods of one room; no other room is imported.

    Raises:
        ParameterError: there is no such room.
    """
    _load_plugins()
    for one in _rooms(room):
        for source in sources_of(one):
            importlib.import_module(source.module)
    chosen = [m for m in _methods.values() if room in (None, m.room)]
    return sorted(chosen, key=lambda m: (ROOMS.index(m.room) if m.room in ROOMS else len(ROOMS), m.name))


def list_records(room: str | None = None) -> list[dict[str, Any]]:
    """The record of every method, in the order of `list_methods`.

    Nothing is imported where the file `methods.json`, which `scripts/list_methods.py` writes, has all methods of the
    room: no plug-in and no file added others.

    Raises:
        ParameterError: as of `list_methods`.
    """
    _load_plugins()
    chosen = [one for one in _written_records() if room in (None, one["room"])]
    there = {source.name for one in _rooms(room) for source in sources_of(one)}
    there |= {m.name for m in _methods.values() if room in (None, m.room)}
    if there == {one["name"] for one in chosen}:
        return chosen
    return [method.record() for method in list_methods(room)]


@cache
def _written_records() -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((PACKAGE / RECORDS).read_text(encoding="utf-8"))
    return records


def _rooms(room: str | None) -> tuple[str, ...]:
    """The rooms to look in: all, or the one that was asked for."""
    rooms = dict.fromkeys([*ROOMS, *(m.room for m in _methods.values())])
    if room is not None and room not in rooms:
        raise ParameterError(f"no room {room!r}: {did_you_mean(room, rooms)}")
    return tuple(rooms) if room is None else (room,)


def spellings(name: str) -> tuple[str, str, str]:
    """The names that a name may mean: its words may be joined by `-` or `_`.

    >>> spellings("mi_fgsm")
    ('mi_fgsm', 'mi-fgsm', 'mi_fgsm')
    """
    return name, name.replace("_", "-"), name.replace("-", "_")


def find_method(name: str, room: str | None = None) -> Method:
    """Find a method by name. Only its file is imported; plug-ins are searched if no file has the name.

    Words may be joined by `-` or `_`, whichever of them the name itself has.

    Raises:
        ParameterError: there is none, with near names.
    """
    for load in (bool, partial(_load_named, name, room), _load_plugins):  # the first is for what is imported already
        load()
        for spelling in spellings(name):
            found = _methods.get(spelling)
            if found is not None and room in (None, found.room):
                return found
    modules = {source.name: source.module for one in _rooms(room) for source in sources_of(one)}
    if name not in modules:
        known = {*modules, *(m.name for m in _methods.values() if room in (None, m.room))}
        raise ParameterError(f"no method {name!r}{f' in {room}' if room else ''}: {did_you_mean(name, known)}")
    importlib.import_module(modules[name])
    return _methods[name]


def title_of(name: str) -> str:
    """A method's title, without importing its file; the words of the name where it has none, or is no method.

    That of a plug-in's method is known from the plug-in, once it is loaded, or from a run of it that was read.

    >>> title_of("pgd"), title_of("gaussian_noise")
    ('PGD', 'gaussian noise')
    """
    title = _methods[name].title if name in _methods else _titles().get(name, _recorded.get(name, ""))
    return title or " ".join(re.split("[-_]+", name.strip("-_")))


def remember_titles(titles: Mapping[str, str]) -> None:
    """Keep titles that a run has recorded, for methods whose plug-in is not here; they change no other method's.

    Args:
        titles: by the method's name.
    """
    _recorded.update(titles)


@cache
def _titles() -> dict[str, str]:
    """Name to title of every method here, empty for none, from the text of their files."""
    return {source.name: source.title for room in ROOMS for source in sources_of(room)}


def parse_method(text: str, room: str | None = None) -> Any:
    """The method written as `NAME[:k=v,...]`, with its parameters.

    Raises:
        ParameterError: the name or a parameter is not known, or a value is not allowed.
    """
    name, values = parse_values(text)
    return find_method(name, room).cls.from_text(values)


def method_text(method: Parameters) -> str:
    """A method as `NAME[:k=v,...]`, which `parse_method` reads.

    >>> method_text(parse_method("pgd:steps=3"))
    'pgd:steps=3'
    """
    given = ",".join(f"{k}={text_of(v)}" for k, v in method.model_dump(mode="json", exclude_defaults=True).items())
    return f"{method.info.name}:{given}" if given else method.info.name


def as_method(given: Any, room: str) -> Any:
    """The method of a room that a caller gave, as `NAME[:k=v,...]` or as an object.

    Raises:
        ParameterError: it is neither, such as a class or a tensor; or a name or a parameter is wrong, or the object's
            class has no name of its own in the registry.
    """
    if isinstance(given, str):
        return parse_method(given, room)
    if not isinstance(given, Parameters) or given.room != room:
        what = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
        how = f"give {given.__name__}()" if isinstance(given, type) else "give NAME[:k=v,...] or an object of one"
        raise ParameterError(f"{what} is no method of the room {room}: {how}")
    if "info" not in type(given).__dict__:
        raise ParameterError(f"{type(given).__name__} has no name, by which runs know it: enter it with @register")
    return given


def as_methods(given: Any, room: str) -> list[Any]:
    """The methods of a room that a caller gave: a list, or one alone that stands for a list.

    Raises:
        ParameterError: as of `as_method`; or one is given twice with the same parameters.
    """
    found = list[Any]()
    for one in [given] if isinstance(given, str | Parameters | type) else given:
        method = as_method(one, room)
        if method in found:
            raise ParameterError(f"{method.info.name!r} is given twice with the same parameters: give it once")
        found.append(method)
    return found


def _load_named(name: str, room: str | None) -> None:
    """Import the files that bear a method's name, in one room or in all."""
    for one in ROOMS if room is None else (room,):
        for module in modules_named(one, name):
            importlib.import_module(module)


def _load_plugins() -> None:
    """Load installed plug-ins, once a process."""
    for plugin in plugins("unshaken.methods"):
        if plugin not in _plugins:
            _plugins.add(plugin)
            plugin.load()


def _first_line(error: ValidationError, cls: type[BaseModel]) -> str:
    first = error.errors()[0]
    key = ".".join(str(p) for p in first["loc"] if not isinstance(p, int))  # the item of a tuple says which it is
    if first["type"] == "extra_forbidden":
        return f"no parameter {key!r}; {did_you_mean(key, cls.model_fields)}"
    if first["type"] == "missing":
        return f"parameter {key!r} is missing"
    value = first["input"]
    met = (
        f"{key}={shorten(text_of(value) if isinstance(value, tuple) else value)}: " if key else ""
    )  # what concerns several names them itself
    return f"{met}{first['msg'].removeprefix('Value error, ')}"
