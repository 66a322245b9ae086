"""Sharpened guesses and the penalty on uneven predictions, by the published numbers."""

from __future__ import annotations

import pytest
import torch

from unshaken.labels.losses.guesses import prior_penalty, sharpen


def test_sharpened_guesses():
    guess = torch.tensor([0.6, 0.3, 0.1])
    assert sharpen(guess, 2).tolist() == pytest.approx([0.7826, 0.1957, 0.0217], abs=1e-4)
    assert torch.equal(sharpen(guess, 1), guess / guess.sum())
    assert sharpen(guess, 50).tolist() == pytest.approx([1, 0, 0], abs=1e-9)


def test_the_penalty_of_a_mean_prediction():
    """Two batches of the same mean: it is of the batch, not of each sample."""
    certain = torch.tensor([0.9, 0.1]).log()
    assert prior_penalty(certain.expand(4, 2)).item() == pytest.approx(0.510826, abs=1e-6)
    either = torch.tensor([[0.99, 0.01], [0.81, 0.19]]).log()
    assert prior_penalty(either).item() == pytest.approx(0.510826, abs=1e-6)
    assert prior_penalty(torch.tensor([[50.0, 0], [0, 50.0]])).item() == pytest.approx(0, abs=1e-6)
