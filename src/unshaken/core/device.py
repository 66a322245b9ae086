"""Devices by name."""

from __future__ import annotations

import itertools
import re

import torch
from torch import nn

from unshaken.core.errors import ModelError
from unshaken.core.numbers import shorten

_NAME = re.compile(r"([a-z][a-z0-9_]*)(?::([0-9]{1,3}))?")
KINDS = ("cpu", "cuda", "mps", "xpu")
"""Kinds that torch brings; a plug-in of torch may bring another."""


def accelerator() -> str | None:
    """The kind of accelerator of this machine that torch can use, such as `cuda`; None where there is none."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return None if found is None else found.type


def count_devices(kind: str) -> int:
    """The number of usable devices of a kind such as `cuda`.

    >>> count_devices("cpu")
    1
    """
    if kind in ("cpu", "mps"):
        return int(kind == "cpu" or torch.backends.mps.is_available())
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return torch.accelerator.device_count() if kind == accelerator() else 0


def find_device(name: str) -> torch.device:
    """The device of a name: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`, or `auto` for the best that is there.

    Raises:
        ModelError: there is no such kind of device, or none on this machine.
    """
    if name == "auto":
        name = accelerator() or "cpu"
    found = _NAME.fullmatch(name)
    if not found or found[1] not in (*KINDS, accelerator()):
        kinds = ", ".join(dict.fromkeys([*KINDS, accelerator() or "cpu"]))
        raise ModelError(f"device {shorten(name)} is not one of auto, {kinds}, or a numbered one like cuda:1")
    kind, here = found[1], count_devices(found[1])
    if int(found[2] or 0) >= here:
        has = f"this machine has {here} of kind {kind}" if here else f"this machine has no {kind} device"
        raise ModelError(f"device {name!r} is not there: {has}; use --device cpu or auto")
    return torch.device(name)


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's weights, or of its buffers; the CPU where it has neither."""
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device
