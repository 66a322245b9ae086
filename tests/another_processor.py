"""A pytest plugin: float32 as another processor might compute it. A test that holds on any of them passes with it.

    ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 python -m pytest -p tests.another_processor tests/attack

The two variables choose kernels for older processors. The plugin goes further than any one of these: what float32 sums
and functions err by, they err by to the other side, `2 e - r` in the place of a result r whose exact value is e (to
float64). What is exact stays exact. Numbers below the least normal one are 0, as where a processor flushes them.

Files whose tests no rounding of this process can change are left out: those that use no tensors (their arithmetic is
float64 by numpy), and those that have other processes or onnxruntime compute. So are the attacks that put others
together: these are run by themselves. Results of many numbers are left as they are, for time: what they are reduced to
is mirrored.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from tests.touched_rooms import ROOT, is_touched, leave_out, touched_rooms

INEXACT = {
    "convolution", "convolution_backward", "mkldnn_convolution", "mm", "addmm", "bmm", "baddbmm", "addbmm", "addmv",
    "mv", "dot", "linear", "sum", "mean", "var", "std", "var_mean", "norm", "linalg_vector_norm", "prod", "cumsum",
    "cumprod", "logcumsumexp", "logsumexp", "_cdist_forward", "_softmax", "_log_softmax", "_softmax_backward_data",
    "_log_softmax_backward_data", "nll_loss_forward", "_native_batch_norm_legit_no_training", "native_layer_norm",
    "native_layer_norm_backward", "native_group_norm", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "pow",
    "rsqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "atan2", "sigmoid", "softplus", "gelu", "silu",
    "erf", "erfinv", "lgamma", "digamma", "avg_pool2d", "_adaptive_avg_pool2d", "grid_sampler_2d",
    "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa"
}  # fmt: skip
"""Operations whose float32 results differ in their last bits from one processor's kernels to another's."""

MOST = 2**14
"""Results of more numbers than this are left as they are."""

TOGETHER = {"auto", "autoattack", "substitution"}
"""Attacks that run others, in the order of their lists."""

ELSEWHERE = {"subprocess", "onnxruntime"}
"""Modules that a test file imports when another process or library computes what it tests."""


class OtherRounding(TorchDispatchMode):
    """Mirrors the rounding of each such operation at its exact value."""

    def __torch_dispatch__(
        self,
        function: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        given = given or {}
        result = function(*args, **given)
        if not is_inexact(function) or "out" in given:
            return result
        several = isinstance(result, tuple | list)
        results = result if several else [result]
        if not any(is_float32(r) and r.numel() <= MOST for r in results):
            return result
        try:
            exact = function(*map(wide, args), **{name: wide(value) for name, value in given.items()})
        except (RuntimeError, NotImplementedError):  # not there in float64, or not for such tensors
            return result
        for rounded, true in zip(results, exact if several else [exact], strict=True):
            if is_float32(rounded):  # r + 2 (e - r) in float64, rounded once; what is not finite stays
                rounded.add_(true.sub_(rounded).nan_to_num_(0.0, 0.0, 0.0), alpha=2)
        return result


@functools.cache
def is_inexact(function: OpOverload) -> bool:
    """Whether float32 results of an operation differ from one processor to another."""
    return function.overloadpacket.__name__ in INEXACT


def is_float32(value: Any) -> bool:
    """Whether this is a plain float32 tensor."""
    return type(value) is Tensor and value.dtype == torch.float32


def wide(value: Any) -> Any:
    """The same in float64."""
    if isinstance(value, Tensor) and value.dtype == torch.float32:
        return value.double()
    return torch.float64 if value is torch.float32 else value


def is_concerned(module: ModuleType) -> bool:
    """Whether tests of a file compute with tensors, in this process."""
    imported = {value.__name__ for value in vars(module).values() if isinstance(value, ModuleType)}
    types = (getattr(value, "__module__", "") for value in vars(module).values())
    tensors = "torch" in imported or any(str(name).partition(".")[0] == "torch" for name in types)
    return tensors and not imported & ELSEWHERE


def puts_together(item: pytest.Function) -> bool:
    """Whether a test of the battery is of an attack that runs others."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return getattr(parameters.get("method"), "name", None) in TOGETHER


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that would come out the same: of no tensors, or of rooms that a change does not touch."""
    rooms = touched_rooms()
    every = rooms is None or rooms & {"core", "models", "another_processor"}
    leave_out(config, items, (
        item
        for item in items
        if not (every or is_touched(item.path.relative_to(ROOT).as_posix(), rooms))
        or not (isinstance(item, pytest.Function) and is_concerned(item.module) and not puts_together(item))
    ))  # fmt: skip


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A change that touches no room of the tests leaves none, which is no failure."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def pytest_configure() -> None:
    """Flush subnormal numbers in this process."""
    torch.set_flush_denormal(True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Run every test so."""
    with OtherRounding():
        return (yield)
