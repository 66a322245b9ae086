"""Symmetric cross-entropy of a label of probability 0.3, with and without its first part."""

from __future__ import annotations

import pytest
import torch

from unshaken.labels.losses.symmetric_cross_entropy import symmetric_cross_entropy

P = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)
Y = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)


def test_a_label_of_probability_0_3():
    logits = P.log()
    assert symmetric_cross_entropy(logits, Y).item() == pytest.approx(6.567636, abs=1e-6)
    assert symmetric_cross_entropy(logits, Y, alpha=0).item() == pytest.approx(6.447238, abs=1e-6)
