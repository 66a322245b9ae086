"""Names in options, checked before anything heavy is imported: a typo is answered within a second.

The messages are those of the functions that look the names up later, and what is not plainly wrong is left to them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.imports import plugins
from unshaken.core.sources import PACKAGE, keys_of, sources_of
from unshaken.core.texts import parse_values


def check_plan(text: str) -> str:
    """Refuse a plan that is neither known by name nor a YAML file."""
    if Path(text).suffix not in (".yaml", ".yml") and text not in (known := keys_of("run/plan.py", "PLANS")):
        raise ParameterError(f"no plan {text!r}: {did_you_mean(text, known)}, or a .yaml file")
    return text


def check_model(text: str) -> str:
    """Refuse a model SPEC of an unknown kind."""
    from unshaken.models.loaders.spec import form_of, parse_model_spec

    spec = parse_model_spec(text)
    kind = spec.kind
    known = sorted(source.name for source in sources_of("models", "model_kind"))
    if kind not in known and not plugins("unshaken.models"):
        raise ParameterError(f"no model kind {kind!r}; {form_of(kind, spec.name) or did_you_mean(kind, known)}")
    return text


def check_data(text: str) -> str:
    """Refuse a data SPEC of an unknown kind, and a folder that is absent."""
    from unshaken.data.spec import divide, existing

    kind, target, _ = divide(text)
    kinds = keys_of("data/load.py", "SOURCES")
    if ":" in text.partition("?")[0] and kind not in kinds:
        raise DataError(f"data {text!r}: unknown kind {kind!r}; {did_you_mean(kind, kinds)}")
    if kind == "folder":
        existing(target, text, folder=True)
    return text


def check_method(room: str) -> Callable[[str], str]:
    """Make the check of the names in `NAME[:k=v,...]`: the method's, and those of its parameters.

    Args:
        room: such as `attack`.
    """

    def check(text: str) -> str:
        from unshaken.core.registry import list_records, spellings

        given, values = parse_values(text)
        known = {one["name"]: one["parameters"] for one in list_records(room)}
        name = next((n for n in spellings(given) if n in known), None)
        if name is None:
            raise ParameterError(f"no method {given!r} in {room}: {did_you_mean(given, known)}")
        fields = [schema.get("field", key) for key, schema in known[name].items()]
        for key in values:
            if key not in (*fields, *known[name]) and not _is_new(room, name, key):
                raise ParameterError(f"{name}: no parameter {key!r}; {did_you_mean(key, fields)}")
        return text

    return check


def _is_new(room: str, name: str, key: str) -> bool:
    """Whether a method's file has a parameter that the written list lacks, as while somebody adds one."""
    homes = [PACKAGE.parent.joinpath(*s.module.split(".")) for s in sources_of(room) if s.name == name]
    return any(f"\n    {key}: " in home.with_suffix(".py").read_text(encoding="utf-8") for home in homes)


def check_engine(text: str) -> str:
    """Refuse an execution engine that there is not."""
    from unshaken.run.engine import read_engine

    read_engine(text)
    return text
