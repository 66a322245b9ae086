"""The simulated device. Autograd must know it before its first backward pass: it is loaded when tests are collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import torch

from tests.devices import simulated

MISSING = simulated.problem()
"""Why there is no simulated device on this machine; empty where there is one."""


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
