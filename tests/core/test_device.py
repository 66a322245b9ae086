"""Devices by name, on machines of every kind."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.device import find_device, float64_device, full_float32, move, widen
from unshaken.core.errors import ModelError


@pytest.fixture
def machine(monkeypatch):
    """A machine with a number of CUDA devices, and with or without Apple's."""

    def machine(cuda=0, mps=False, driver=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0 and driver)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return machine


@pytest.mark.parametrize(
    ("parts", "best"), [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": 1}, "cuda"), ({"cuda": 2, "mps": True}, "cuda")]
)
def test_auto_is_the_best_that_is_there(machine, parts, best):
    machine(**parts)
    assert find_device("auto") == torch.device(best)


def test_numbered_devices(machine):
    machine(cuda=2, mps=True)
    for name in ("cpu", "cpu:0", "cuda", "cuda:0", "cuda:1", "mps", "mps:0"):
        assert find_device(name) == torch.device(name)
    for name, has in (("cuda:2", "2 of kind cuda"), ("cpu:1", "1 of kind cpu"), ("mps:1", "1 of kind mps")):
        with pytest.raises(ModelError, match=f"^device '{name}' is not there: this machine has {has}; use"):
            find_device(name)


def test_absent_devices(machine):
    machine(cuda=2, driver=False)
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(ModelError, match=f"this machine has no {name.partition(':')[0]} device; use --device cpu"):
            find_device(name)


@pytest.mark.parametrize("name", ["", "tpu", "cuda:", "cuda:x", "cuda:1000", "cuda:-1", "CPU", "cpu "])
def test_other_names_are_refused(name):
    with pytest.raises(ModelError, match="is not one of auto, cpu, cuda, mps, xpu, or a numbered one like cuda:1"):
        find_device(name)


def test_products_are_in_full_float32_for_a_while():
    """As on an NVIDIA device, whose settings torch has on any machine."""
    settings = lambda: (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)  # noqa: E731
    before = settings()
    with full_float32(torch.device("cuda")):
        assert not torch.backends.cuda.matmul.allow_tf32
        if hasattr(torch.backends.cudnn, "conv"):
            assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        else:
            assert not torch.backends.cudnn.allow_tf32
    assert settings() == before
    with full_float32(torch.device("cpu")):
        assert settings() == before


def test_float64_where_a_device_has_it():
    values = torch.ones(2)
    assert widen(values).dtype == move(values.double(), torch.device("cpu")).dtype == torch.float64
    assert float64_device(torch.device("cpu")) == torch.device("cpu")
