"""The cache of trained weights, and the digests that are its keys: of settings, of tensors, and of source code."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor
from typing_extensions import override

from unshaken.core.cache import cache_dir
from unshaken.papers.record import now
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir

ROOMS = ("core", "models", "generate", "attack", "detect", "labels", "harden")
"""Rooms whose imports are followed. Data enters the cache's key by its content, so its code does not."""
PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parents[2]
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "builtins", "pydantic", "abc", "typing", "functools")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights, and what is known of their training.

    Args:
        tensors: state dict.
        notes: JSON values kept beside them, such as training curves.
        cached: whether they came from the cache.
        made: when, by which versions and on which machine they were made; empty where that is unknown.
    """

    tensors: dict[str, Tensor]
    notes: Mapping[str, Any]
    cached: bool
    made: Mapping[str, Any]


def digest_of(key: Any) -> str:
    """32 hexadecimal digits of canonical JSON: the order of names does not matter, nesting does.

    >>> digest_of({"a": 1, "b": {"c": 2}}) == digest_of({"b": {"c": 2}, "a": 1}) != digest_of({"a": 1, "c": 2})
    True
    """
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """32 hexadecimal digits of names, types, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in tensors.items():
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def cached(key: Mapping[str, Any], make: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Any]]]) -> Weights:
    """Weights from the cache, else made and put there.

    Args:
        key: nested JSON values that decide the weights; kept beside them.
        make: gives the state dict, and notes of JSON values.
    """
    folder, name = RunDir(cache_dir() / "papers"), f"{digest_of(key)}.safetensors"
    found = folder.exists(name)
    if not found:
        tensors, notes = make()
        whole = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        known = {"key": key, "notes": notes, "made": {"date": now(), **provenance()}}
        folder.write(save_tensors(whole, {k: json.dumps(v) for k, v in known.items()}), name)
    with safe_open(folder.at(name), "pt") as file:
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        known = {k: json.loads(v) for k, v in file.metadata().items()}
    return Weights(tensors, known["notes"], found, known.get("made", {}))


def code_digest(*objects: Any) -> str:
    """Digest the modules in which objects are defined, and what these import from the rooms that train.

    Comments, docstrings and layout do not count.

    Args:
        objects: modules' names, classes, functions or instances of classes.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(_closure({m for o in objects for m in _modules(o)})):
        digest.update(f"{name} {_module_digest(name)}\n".encode())
    return digest.hexdigest()


def _modules(thing: Any) -> Iterator[str]:
    if isinstance(thing, str):
        yield thing
        return
    owner = thing if hasattr(thing, "__qualname__") else type(thing)
    for one in getattr(owner, "__mro__", [owner]):
        if one.__module__.partition(".")[0] not in LIBRARIES:
            yield one.__module__


def _closure(roots: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name)
    return found


@cache
def _module_digest(name: str) -> str:
    tree = _tree(name)
    text = "" if tree is None else ast.dump(_Plain().visit(tree))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def _imports(name: str) -> tuple[str, ...]:
    """Modules of `ROOMS` that a module imports."""
    tree = _tree(name)
    names: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
    starts = tuple(f"{PACKAGE}.{room}" for room in ROOMS)
    return tuple(sorted(n for n in names if n.startswith(starts) and _path(n) is not None))


def _tree(name: str) -> ast.Module | None:
    path = _path(name)
    return None if path is None else ast.parse(path.read_text(encoding="utf-8"))


def _path(name: str) -> Path | None:
    """The file of a module; None where it has none, as in a notebook."""
    head, _, rest = name.partition(".")
    base = ROOT / Path(*rest.split("."))
    own = (base.with_suffix(".py"), base / "__init__.py") if head == PACKAGE and rest else ()
    loaded = getattr(sys.modules.get(name), "__file__", None)
    paths = [*own, *([Path(loaded)] if loaded and loaded.endswith(".py") else [])]
    return next((p for p in paths if p.is_file()), None)


class _Plain(ast.NodeTransformer):
    """Leaves bare strings (docstrings) out."""

    @override
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node
