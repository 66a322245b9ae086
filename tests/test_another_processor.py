"""The plugin that rounds to the other side of the exact value, as another processor might; what is exact stays."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.registry import list_methods

PATH = Path(__file__).with_name("another_processor.py")
SPEC = importlib.util.spec_from_file_location("another_processor", PATH)
PLUGIN = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PLUGIN)


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(1),
        lambda x: x @ x.T,
        lambda x: x.log_softmax(1),
        lambda x: F.conv2d(x.view(64, 1, 8, 8), x[:2, :9].reshape(2, 1, 3, 3)),
        lambda x: torch.linalg.vector_norm(x, dim=1),
    ],
)
def test_an_error_is_as_large_and_on_the_other_side(function):
    x = drawn(64, 64)
    here, exact = function(x), function(x.double())
    with PLUGIN.OtherRounding():
        there = function(x)
    spacing = torch.finfo(torch.float32).eps * exact.abs().clamp(min=1e-3)
    assert bool((there != here).any())
    assert bool(((here + there.double() - 2 * exact).abs() <= spacing).all())


def test_gradients_are_rounded_otherwise_too():
    def gradient():
        x = drawn(4, 64).requires_grad_(True)
        return torch.autograd.grad((x @ drawn(64, 64)).square().sum(), x)[0]

    here = gradient()
    with PLUGIN.OtherRounding():
        there = gradient()
    assert not torch.equal(here, there)
    assert torch.allclose(here, there, rtol=1e-4, atol=1e-4)


def test_what_is_exact_stays():
    whole = (drawn(4, 64) * 100).round()
    with PLUGIN.OtherRounding():
        assert torch.equal(whole.sum(1), whole.double().sum(1).float())
        assert torch.equal(whole @ whole.T, (whole.double() @ whole.double().T).float())
        assert torch.equal(whole.relu() * 0.1, whole.clamp(min=0).mul(0.1))


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("import torch", True),
        ("from torch import Tensor", True),
        ("import numpy as np", False),
        ("import subprocess\nimport torch", False),
        ("import onnxruntime\nimport torch", False),
    ],
)
def test_a_file_is_concerned_whose_tensors_are_of_this_process(imports, expected):
    module = ModuleType("test_toy")
    exec(imports, vars(module))
    assert PLUGIN.is_concerned(module) is expected


def test_results_of_many_numbers_stay(monkeypatch):
    x = drawn(64, 64)
    monkeypatch.setattr(PLUGIN, "MOST", 63)
    with PLUGIN.OtherRounding():
        there = x.sum(1)
    assert torch.equal(there, x.sum(1))


@pytest.mark.parametrize(("name", "expected"), [("auto", True), ("pgd", False)])
def test_attacks_that_run_others_are_left_out(name, expected):
    assert {m.name for m in list_methods("attack")} >= PLUGIN.TOGETHER
    item = SimpleNamespace(callspec=SimpleNamespace(params={"method": SimpleNamespace(name=name)}))
    assert PLUGIN.puts_together(item) is expected
    assert PLUGIN.puts_together(SimpleNamespace()) is False
