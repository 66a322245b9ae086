"""The simulated device. Autograd must know it before its first backward pass: it is loaded when tests are collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from tests.devices import simulated

HERE = Path(__file__).parent
MISSING = simulated.problem()
"""Why there is no simulated device on this machine; empty where there is one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every method on the device is crossed in `make test-long`; what device code they share stays in `make test`."""
    for item in items:
        if item.path.parent == HERE and item.path.stem not in ("test_engine", "test_every_method"):
            item.add_marker(pytest.mark.long)


@pytest.fixture(params=[True, False], ids=["float64", "no-float64"])
def counts(request: pytest.FixtureRequest) -> Iterator[Mapping[str, int]]:
    """The counts of the simulated device, which is there for this test: as a GPU is, and as MPS, without float64."""
    if MISSING:
        pytest.skip(MISSING)
    with simulated.available(float64=request.param) as found:
        yield found


@pytest.fixture
def device(counts: Mapping[str, int]) -> torch.device:
    """Its second one: what is made on the first by mistake is on another device."""
    return torch.device("simulated:1")
