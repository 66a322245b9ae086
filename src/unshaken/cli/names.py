"""Names in options, checked before anything heavy is imported: a typo is answered within a second.

The messages are those of the functions that look the names up later, and what is not plainly wrong is left to them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.imports import plugins
from unshaken.core.sources import PACKAGE, keys_of, networks_of, sources_of
from unshaken.core.texts import parse_values

if TYPE_CHECKING:
    from unshaken.models.loaders.spec import ModelSpec


def check_plan(text: str) -> str:
    """Refuse a plan that is neither known by name nor a YAML file."""
    if Path(text).suffix not in (".yaml", ".yml") and text not in (known := keys_of("run/plan.py", "PLANS")):
        raise ParameterError(f"no plan {text!r}: {did_you_mean(text, known)}, or a .yaml file")
    return text


def check_model(text: str) -> str:
    """Refuse a model SPEC of an unknown kind, or of a network or a file that plainly is not there."""
    from unshaken.models.loaders.spec import form_of, parse_model_spec

    spec = parse_model_spec(text)
    kind = spec.kind
    known = sorted(source.name for source in sources_of("models", "model_kind"))
    if kind not in known and not plugins("unshaken.models"):
        raise ParameterError(f"no model kind {kind!r}; {form_of(kind, spec.name) or did_you_mean(kind, known)}")
    _check_network(spec)
    return text


def _check_network(spec: ModelSpec) -> None:
    from unshaken.core.user_code import require_code
    from unshaken.models.loaders.spec import require_weights, unknown_name

    name, known = spec.name, list[str]()
    if spec.kind == "demo":
        name, known = name or "standard", keys_of("models/loaders/from_demo.py", "VIEWS")
    elif spec.kind == "imagenet":
        known = keys_of("models/loaders/from_imagenet.py", "SIDES")
    elif spec.kind == "timm":
        name, known = name.partition(".")[0], [*networks_of("timm")]
    elif spec.kind == "torchvision":
        name = name.partition("@")[0]
        known = [*networks_of("torchvision"), *networks_of("torchvision", "models/detection")]
    elif spec.kind == "weights" and "arch" in spec.options:
        require_weights(Path(name))
    elif spec.kind == "py" and ":" in name:
        require_code(name.rpartition(":")[0], str(spec).partition("?")[0])
    if known and name not in known:
        raise unknown_name(spec.kind, spec.name if spec.kind == "timm" else name, known)


def check_start(text: str) -> str:
    """Refuse a model SPEC as `check_model` does; an architecture (without a colon, or `new:`) is taken."""
    return text if ":" not in text or text.startswith("new:") else check_model(text)


def check_data(text: str) -> str:
    """Refuse a data SPEC of an unknown kind or set, and a folder or a file that is absent."""
    from unshaken.data.spec import FILES, FOLDERS, divide, existing, unknown_data

    kind, target, _ = divide(text)
    kinds, sets = keys_of("data/load.py", "SOURCES"), keys_of("data/named.py", "NAMED")
    if ":" not in text.partition("?")[0]:
        if kind not in ("demo", *sets):
            raise unknown_data(kind, text, ["demo", *sets, *(f"{k}:" for k in kinds)])
    elif kind not in kinds and not target.startswith("//"):
        raise DataError(f"data {text!r}: unknown kind {kind!r}; {did_you_mean(kind, kinds)}")
    elif kind in (*FOLDERS, *FILES) and not target.startswith("//"):
        existing(target, text, folder=kind in FOLDERS)
    return text


def check_gate(text: str) -> str:
    """Refuse a gate that does not follow the grammar."""
    from unshaken.report.gates.grammar import Gate

    Gate.parse(text)
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
