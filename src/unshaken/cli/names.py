"""Names in options, checked before anything heavy is imported: a typo is answered within a second.

The messages are those of the functions that look the names up later, and what is not plainly wrong is left to them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.imports import plugins
from unshaken.core.sources import keys_of, modules_named, sources_of


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
    """Make the check of a method's name in `NAME[:k=v,...]`.

    Args:
        room: such as `attack`.
    """

    def check(text: str) -> str:
        name = text.partition(":")[0].strip()
        if next(modules_named(room, name), None) is None:
            known = sorted(source.name for source in sources_of(room))
            if name not in known and not plugins("unshaken.methods"):
                raise ParameterError(f"no method {name!r} in {room}: {did_you_mean(name, known)}")
        return text

    return check
