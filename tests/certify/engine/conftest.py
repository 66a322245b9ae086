"""Networks with weights drawn anew, and images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


def drawn(module, seed=0):
    """Weights and running statistics drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            low = 0.5 if "var" in name else -0.5
            value.copy_(torch.rand(value.shape, generator=generator) + low)
    return module.eval()


def images(*shape, n=3):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What the tests build from."""
    return SimpleNamespace(drawn=drawn, images=images)
