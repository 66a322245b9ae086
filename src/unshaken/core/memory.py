"""Memory of passes: kept from one to the next on the CPU, given back where it ran out."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import platform
from functools import cache

import torch

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
        Whether it was told; False with another C library, or where the variable says no.
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


def release_memory(device: torch.device) -> None:
    """Give back what nobody uses: objects in reference cycles, and blocks that the device's allocator keeps."""
    gc.collect()
    if device.type != "cpu":
        empty_cache = getattr(torch.get_device_module(device), "empty_cache", None)
        if empty_cache is not None:
            empty_cache()
