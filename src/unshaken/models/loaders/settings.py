"""Identity of a module beside its class and its weights: settings such as a stride, and its source file."""

from __future__ import annotations

import dataclasses
import dis
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
from pydantic import BaseModel
from torch import nn

LEFT_OUT = frozenset(vars(nn.Module())) | {
    *("name", "classes", "view", "device", "path", "where", "name_or_path", "default_cfg", "pretrained_cfg"),
    *("inplace", "fused_attn", "grad_checkpointing", "gradient_checkpointing", "feature_info", "loss_type"),
}
"""Attributes that do not decide a function: torch's own, names and places, and how the same numbers are computed."""
LIBRARIES = frozenset({"lightning", "open_clip", "pytorch_lightning", "timm", "torchvision", "transformers"})
"""Packages of models whose private attributes change from one version to the next."""
PLACES = ("/", "\\", ":", " at 0x")
"""Signs of a text that says where something is: a path, a device, an address in memory."""


def settings_of(module: nn.Module) -> str:
    """The plain attributes of one module, without those of the modules inside it.

    Numbers, texts, truth values, functions and classes count, and tuples, lists, sets, dicts, pydantic models and
    frozen dataclasses of these. None and False are as if absent, so that a switch which a later version of a library
    adds, and which is off, changes nothing. Private attributes count in modules of one's own, not in those of torch and
    of model libraries. Tensors do not count: what weights and buffers are is known from the state dict. Attributes that
    the forward pass assigns, such as a counter of passes, do not count either, nor those that the module's class names
    in `state_attributes` because others than its forward pass change them.

    Args:
        module: in training or evaluation mode, which makes no difference.

    Returns:
        A text that is the same in every process, empty where there is none.

    >>> settings_of(nn.Dropout(0.25)), settings_of(nn.Flatten(1, 2)), settings_of(nn.Sequential())
    ('(p=0.25)', '(end_dim=2,start_dim=1)', '')
    """
    kind: type = type(module)
    out = LEFT_OUT | frozenset(getattr(kind, "state_attributes", ())) | _assigned_by_forward(kind)
    private = _package(kind) != "torch" and not any(_package(base) in LIBRARIES for base in kind.__mro__)
    found = {}
    for name, value in vars(module).items():
        if name in out or (name.startswith("_") and not private):
            continue
        empty = isinstance(value, tuple | list | set | frozenset | dict) and not value
        if value is not None and value is not False and not empty and (described := _described(value)) is not None:
            found[name] = described
    return _joined(found) if found else ""


@lru_cache(maxsize=1024)
def _assigned_by_forward(kind: type) -> frozenset[str]:
    """Names of attributes that a class's `forward`, or a method that it names, assigns."""
    waiting, visited, found = ["forward"], set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        function = getattr(kind, name, None)
        if name in visited or not isinstance(function, FunctionType) or function is getattr(nn.Module, name, None):
            continue
        visited.add(name)
        for step in dis.get_instructions(function):
            if step.opname == "STORE_ATTR":
                found.add(step.argval)
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                waiting.append(step.argval)
    return frozenset(found)


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _described(value: Any) -> str | None:
    """A text for a plain value; None for any other."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if value is None or isinstance(value, bool | int | float | complex):
        return repr(value)
    if isinstance(value, str):
        return None if any(sign in value for sign in PLACES) else repr(value)
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return value.__qualname__
    if isinstance(value, tuple | list):
        return _all(list(value))
    if isinstance(value, set | frozenset):
        parts = [_described(part) for part in value]
        return None if None in parts else f"[{','.join(sorted(filter(None, parts)))}]"
    if isinstance(value, Mapping):
        return _all([part for pair in sorted(value.items(), key=lambda pair: repr(pair[0])) for part in pair])
    if isinstance(value, BaseModel):
        return _record(value, list(type(value).model_fields))
    parameters = getattr(type(value), "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        return _record(value, [field.name for field in dataclasses.fields(value)])
    return None


def _all(values: list[Any]) -> str | None:
    """A text for values of which each is plain; None where one is not."""
    parts = [_described(value) for value in values]
    return None if None in parts else f"[{','.join(filter(None, parts))}]"


def _record(value: Any, names: list[str]) -> str:
    """A text for an object with fields; those that are not plain do not count."""
    found = {name: part for name in names if (part := _described(getattr(value, name))) is not None}
    return type(value).__qualname__ + _joined(found)


def _joined(settings: Mapping[str, str]) -> str:
    return f"({','.join(f'{name}={settings[name]}' for name in sorted(settings))})"


_KEY = "unshaken_source"


def mark_source(net: nn.Module, digest: str) -> None:
    """Keep the hash of the file that a net came from, through copies too."""
    net.__dict__[_KEY] = digest


def source_of(net: nn.Module) -> str:
    """The hash that `mark_source` kept, or nothing."""
    return str(net.__dict__.get(_KEY, ""))
