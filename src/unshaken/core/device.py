"""Devices by name."""

from __future__ import annotations

import ctypes
import gc
import itertools
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.errors import ModelError
from unshaken.core.options import check_device


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
    check_device(name, accelerator() or "cpu")
    kind, _, number = name.partition(":")
    here = count_devices(kind)
    if int(number or 0) >= here:
        has = f"this machine has {here} of kind {kind}" if here else f"this machine has no {kind} device"
        raise ModelError(f"device {name!r} is not there: {has}; use --device cpu or auto")
    return torch.device(name)


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's weights, or of its buffers; the CPU where it has neither."""
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Products of float32 numbers in float32: on recent NVIDIA devices torch's convolutions round them to TF32 else."""
    if device.type != "cuda":
        yield
        return
    if hasattr(torch.backends.cudnn, "conv"):  # torch 2.9 and later
        places: list[Any] = [torch.backends.cudnn.conv, torch.backends.cuda.matmul]
        setting: tuple[str, Any] = ("fp32_precision", "ieee")
    else:
        places, setting = [torch.backends.cudnn, torch.backends.cuda.matmul], ("allow_tf32", False)
    name, full = setting
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, full)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)


def widen(values: Tensor) -> Tensor:
    """Values in float64, or in float32 on a device that has nothing wider, such as `mps`."""
    return values.to(widest_float(values.device))


def is_needless(mask: Tensor) -> bool:
    """Whether what a mask `[N]` chooses rows for may be left out, for it chooses none.

    Only the CPU is asked: elsewhere the answer would cost a wait, more than most work on no rows.
    """
    return mask.device.type == "cpu" and not bool(mask.any())


def send(values: Tensor, device: torch.device) -> Tensor:
    """Values of the CPU on a device; CUDA and XPU copy them first, so that nothing waits until they are there."""
    return values.to(device, non_blocking=device.type not in ("cpu", "mps"))


def move(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device, float64 as float32 where it has nothing wider."""
    if values.dtype == torch.float64:
        values = values.to(widest_float(device))
    return values.to(device)


def float64_device(device: torch.device) -> torch.device:
    """Where to compute in float64: the device itself, or the CPU where it has none."""
    return device if widest_float(device) == torch.float64 else torch.device("cpu")


@cache
def widest_float(device: torch.device) -> torch.dtype:
    """float64, or float32 where a device has nothing wider.

    >>> widest_float(torch.device("cpu"))
    torch.float64
    """
    if device.type in ("cpu", "cuda"):
        return torch.float64
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):  # of MPS, of XPU
        return torch.float32
    return torch.float64


log = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names of glibc's `mallopt`."""
SETTINGS = {M_TRIM_THRESHOLD: 2**30, M_TOP_PAD: 2**26, M_MMAP_THRESHOLD: 2**25}
"""Keep up to 1 GiB of freed memory, grow by 64 MiB, and map only blocks above 32 MiB, the most that glibc allows."""


@cache
def keep_freed_memory() -> bool:
    """Tell glibc, once a process, to keep what is freed.

    A pass frees its activations, and by default glibc gives them back to the system; the next pass then pays for every
    page anew, a third of the time of a small network's gradient as measured by `benchmarks/passes.py`.
    `UNSHAKEN_KEEP_MEMORY=0` leaves the allocator alone.

    Returns:
        Whether the C library was informed; False with another C library, or where the variable says no.
    """
    if platform.libc_ver()[0] != "glibc" or os.environ.get("UNSHAKEN_KEEP_MEMORY") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError) as error:
        log.info("the allocator is left alone: %s", error)
        return False
    answered = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in SETTINGS.items()]
    return all(answer == 1 for answer in answered)


def trim_memory() -> None:
    """Give back to the system what `keep_freed_memory` keeps: a large image is decoded in many small blocks."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def release_memory(device: torch.device) -> None:
    """Give back what nobody uses: objects in reference cycles, and blocks that the device's allocator keeps."""
    gc.collect()
    if device.type != "cpu":
        empty_cache = getattr(torch.get_device_module(device), "empty_cache", None)
        if empty_cache is not None:
            empty_cache()
