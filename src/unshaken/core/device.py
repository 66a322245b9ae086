"""Devices by name."""

from __future__ import annotations

import re

import torch

from unshaken.core.errors import ModelError
from unshaken.core.numbers import shorten

_NAME = re.compile(r"(cpu|cuda|mps)(?::([0-9]{1,3}))?")


def find_device(name: str) -> torch.device:
    """The device of a name: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto` for the best that is there.

    Raises:
        ModelError: there is no such kind of device, or none on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    found = _NAME.fullmatch(name)
    if not found:
        raise ModelError(f"device {shorten(name)} is not one of auto, cpu, cuda, mps, or a numbered one like cuda:1")
    kind, number = found[1], int(found[2] or 0)
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if kind == "cuda" and not torch.cuda.is_available():
        here = 0
    if number >= here:
        has = f"this machine has {here} of kind {kind}" if here else f"this machine has no {kind} device"
        raise ModelError(f"device {name!r} is not there: {has}; use --device cpu or auto")
    return torch.device(name)
