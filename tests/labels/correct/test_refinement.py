"""DivideMix's labels on fixed numbers, by the official formulas."""

from __future__ import annotations

import pytest
import torch

from unshaken.labels.correct.refinement import guess_labels, refine_labels, sharpen

ONE = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)
OTHER = torch.tensor([[0.2, 0.7, 0.1]], dtype=torch.float64)


def test_sharpening_at_half_squares_and_divides():
    assert sharpen(ONE, 0.5)[0].tolist() == pytest.approx([0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46])
    assert sharpen(ONE, 1)[0].tolist() == pytest.approx(ONE[0].tolist())


def test_a_refined_label_lies_between_label_and_prediction():
    given = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    mixed = [0.25 * 0.6, 0.75 + 0.25 * 0.3, 0.25 * 0.1]  # w = 0.75
    wanted = [m**2 / sum(n**2 for n in mixed) for m in mixed]
    found = refine_labels(given, torch.tensor([0.75], dtype=torch.float64), ONE)
    assert found[0].tolist() == pytest.approx(wanted)
    assert refine_labels(given, torch.ones(1), ONE)[0].tolist() == [0, 1, 0]


def test_a_guess_is_the_sharpened_mean_over_networks_and_views():
    p = torch.stack([torch.stack([ONE, OTHER]), torch.stack([ONE, ONE])])  # two networks, two views
    mean = [0.5, 0.4, 0.1]
    wanted = [m**2 / sum(n**2 for n in mean) for m in mean]
    assert guess_labels(p)[0].tolist() == pytest.approx(wanted)
