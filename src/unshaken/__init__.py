"""Test, certify and improve the robustness of vision models.

>>> import unshaken
>>> result = unshaken.audit("demo:standard", "demo", [{"method": "fog", "severities": [3]}], limit=20,
...                         out=getfixture("tmp_path") / "run")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of
from unshaken.core.room import bind_verb

if TYPE_CHECKING:
    from unshaken import detect
    from unshaken.api.audit import Audit, attack, audit, certify
    from unshaken.api.board import board
    from unshaken.api.corrupt import corrupt
    from unshaken.api.evaluate import evaluate
    from unshaken.api.explain import explain
    from unshaken.api.fool import fool
    from unshaken.api.harden import harden
    from unshaken.api.inspect import inspect
    from unshaken.api.labels import find_labels
    from unshaken.api.matrix import matrix
    from unshaken.api.results import compare, merge
    from unshaken.api.transfer import transfer
    from unshaken.core.errors import UnshakenError
    from unshaken.core.registry import list_methods
    from unshaken.core.version import __version__
    from unshaken.data import load_data
    from unshaken.models import load_model

__all__ = [
    "Audit",
    "UnshakenError",
    "__version__",
    "attack",
    "audit",
    "board",
    "certify",
    "compare",
    "corrupt",
    "detect",
    "drift",
    "evaluate",
    "explain",
    "find_labels",
    "fool",
    "harden",
    "inspect",
    "list_methods",
    "load_data",
    "load_model",
    "matrix",
    "merge",
    "transfer",
]

_HOMES = {
    "Audit": "unshaken.api",
    "UnshakenError": "unshaken.core.errors",
    "__version__": "unshaken.core.version",
    "attack": "unshaken.attack",
    "audit": "unshaken.api",
    "board": "unshaken.api",
    "certify": "unshaken.certify",
    "compare": "unshaken.api",
    "corrupt": "unshaken.api",
    "detect": "unshaken.detect",
    "drift": "unshaken.api",
    "evaluate": "unshaken.api",
    "explain": "unshaken.explain",
    "find_labels": "unshaken.api",
    "fool": "unshaken.api",
    "harden": "unshaken.harden",
    "inspect": "unshaken.inspect",
    "list_methods": "unshaken.core.registry",
    "load_data": "unshaken.data",
    "load_model": "unshaken.models",
    "matrix": "unshaken.api",
    "merge": "unshaken.api",
    "transfer": "unshaken.api",
}


def _load_verb(name: str) -> Callable[..., Any]:
    verb: Callable[..., Any] = getattr(importlib.import_module("unshaken.api"), name)
    return verb


for _address, _name in {
    "attack": "attack",
    "certify": "certify",
    "detect": "detect",
    "explain": "explain",
    "generate.dataset": "generate_set",
    "generate.fit": "fit_generator",
    "generate.measure": "measure_generated",
    "generate.sample": "sample_generator",
    "generate.scaling": "measure_scaling",
    "generate.texture": "make_texture",
    "harden": "harden",
    "inspect": "inspect",
    "labels.estimate_wrong": "estimate_wrong",
    "labels.find_labels": "find_labels",
    "stress.write_corrupted": "write_corrupted",
}.items():
    bind_verb(f"unshaken.{_address}", partial(_load_verb, _name))


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import unshaken` is quick: the names of `__all__`, and every package and module."""
    if name not in _HOMES and not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    return attribute_of(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted({*__all__, *(m.name for m in iter_modules(__path__) if not m.name.startswith("_"))})
