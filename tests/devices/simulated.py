"""A simulated second device, `simulated:0` and `simulated:1`: see `simulated.cpp`, which is compiled when first needed.

Tests use `available()`, in which the device is there and counts. Other processes find it by `environment()`: torch
loads the plug-in that stands in this folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
NAME = "simulated"
WAITS = ("item", "to_host", "from_host", "shape", "synchronize")
"""Counts of what a program waits for: a number read, copies, results whose shape is data, and waiting as such."""


class Event:
    """A point in the device's stream, whose operations end before their calls return."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.time = 0.0

    def record(self, stream: object = None) -> None:
        self.time = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds."""
        return (end.time - self.time) * 1000

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        torch.accelerator.synchronize(NAME)


def compiler() -> str | None:
    """The C++ compiler of this machine."""
    return shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")


def compiled() -> Path:
    """The device's library, compiled once for a version of torch."""
    source = HERE / f"{NAME}.cpp"
    mark = hashlib.sha256(source.read_bytes() + f"{torch.__version__} {sys.version}".encode()).hexdigest()[:16]
    library = HERE.parents[1] / "build" / f"{NAME}-{mark}{sysconfig.get_config_var('SHLIB_SUFFIX') or '.so'}"
    if not library.exists():
        home = Path(torch.__file__).parent
        include = [f"-I{home / 'include'}", f"-I{home / 'include/torch/csrc/api/include'}"]
        library.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = f"{folder}/made"
            abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
            subprocess.run(
                [str(compiler()), "-std=c++20", "-O1", "-shared", "-fPIC", "-w", abi, *include, str(source), "-o", made,
                 f"-L{home / 'lib'}", "-ltorch_cpu", "-lc10"],
                check=True,
            )  # fmt: skip
            os.replace(made, library)  # another process may have made it meanwhile
    return library


def load() -> None:
    """Register the device with torch, once a process."""
    if hasattr(torch, NAME):
        return
    torch.ops.load_library(str(compiled()))
    module: Any = types.ModuleType(NAME)
    ops = torch.ops.simulated_device
    module.is_available = ops.is_available
    module.is_initialized = lambda: True
    module.device_count = lambda: 2 if ops.is_available() else 0
    module.current_device = ops.current_device
    module.set_device = lambda device: ops.set_device(torch.device(device).index or 0)
    module.manual_seed = module.manual_seed_all = lambda seed: ops.seed(seed % 2**62)
    module.get_rng_state = lambda device=None: ops.random_state()
    module.set_rng_state = lambda state, device=None: ops.set_random_state(state)
    module._is_in_bad_fork = lambda: False
    module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    module.Event = Event
    module.mem_get_info = lambda device=None: (ops.free(torch.device(device or NAME).index or 0), ops.total())
    torch._register_device_module(NAME, module)


def problem() -> str:
    """Load the device; a sentence where it cannot be made, for want of a compiler or with another torch."""
    if compiler() is None:
        return "no C++ compiler on this machine"
    try:
        load()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the simulated device is not to be had: {error}"
    return ""


def autoload() -> None:
    """See `simulated.dist-info/entry_points.txt`."""
    load()
    torch.ops.simulated_device.available(True)


def environment() -> dict[str, str]:
    """Variables with which another process of Python finds the device."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "TORCH_DEVICE_BACKEND_AUTOLOAD": "1"}


@contextmanager
def available(*, limit: int = 0, float64: bool = True) -> Iterator[Mapping[str, int]]:
    """The device is there, with its counts at 0, and gone again afterwards.

    Args:
        limit: bytes of memory of each device, 0 for no limit.
        float64: False for a device without, such as MPS.

    Returns:
        Its counts by name, read when they are asked for.
    """
    from unshaken.core.device import widest_float

    load()
    ops = torch.ops.simulated_device
    ops.available(True)
    ops.set_device(0)
    ops.limit(limit)
    ops.float64(float64)
    ops.reset()
    widest_float.cache_clear()
    try:
        yield Counts()
    finally:
        widest_float.cache_clear()
        ops.limit(0)
        ops.float64(True)
        ops.available(False)


def agree(found: torch.Tensor, expected: torch.Tensor, *, apart: float = 0.0) -> bool:
    """Whether results of the device are the CPU's: bit for bit, or to 0.1 % of the largest number without float64.

    Args:
        found: on any device.
        expected: of the CPU, in the same shape.
        apart: how far they may be apart with float64, as a share of the largest number.
    """
    found, expected = found.detach().cpu(), expected.detach().cpu()
    if torch.ops.simulated_device.has_float64() and not apart:
        return torch.allclose(found, expected, rtol=0, atol=0, equal_nan=True)
    share = apart if torch.ops.simulated_device.has_float64() else max(1e-3, apart)
    largest = float(expected.double().nan_to_num(posinf=0, neginf=0).abs().max()) if expected.numel() else 0.0
    return torch.allclose(found.double(), expected.double(), rtol=share, atol=share * largest, equal_nan=True)


class Counts(Mapping[str, int]):
    """What the device has counted, by name."""

    def __getitem__(self, name: str) -> int:
        ops = torch.ops.simulated_device
        return sum(ops.count(one) for one in WAITS) if name == "waits" else ops.count(name)

    def __iter__(self) -> Iterator[str]:
        yield from (*WAITS, "waits", "allocations", "out_of_memory", "from_host_non_blocking", "random")

    def __len__(self) -> int:
        return len(WAITS) + 5
