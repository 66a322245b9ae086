"""A model whose steepest step is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier


@pytest.fixture
def rising() -> Classifier:
    """A linear model whose loss always rises with every pixel, for label 0."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([-torch.ones(1024), torch.ones(1024)]) * 1e-3)
    return Classifier(net)
