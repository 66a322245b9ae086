"""Small loss: the published schedule, and which samples are kept."""

from __future__ import annotations

import pytest
import torch

from unshaken.labels.losses.small_loss import forget_rate, smallest


def test_the_forget_rate_rises_to_the_noise_rate_in_ten_epochs():
    rates = [forget_rate(e, 0.4, 10) for e in range(12)]
    assert rates == pytest.approx([0.4 * e / 9 for e in range(10)] + [0.4, 0.4])
    assert rates[1] == pytest.approx(0.0444, abs=1e-4)
    assert forget_rate(0, 0.4, 1) == 0.4


def test_as_many_are_kept_as_published():
    losses = torch.randperm(128, generator=torch.Generator().manual_seed(0)).float()
    kept = smallest(losses, 0.4)
    assert len(kept) == int(0.6 * 128) == 76
    assert losses[kept].tolist() == list(range(76))


def test_each_row_has_its_own_and_one_is_always_kept():
    losses = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert smallest(losses, 1 / 3).tolist() == [[1, 2], [0, 2]]
    assert smallest(losses, 1.0).tolist() == [[1], [0]]
