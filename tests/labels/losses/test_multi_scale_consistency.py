"""Consistency over scales: the card's numbers by hand, the gates, and cross-entropy at a third of the logits."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from unshaken.core.masks import IGNORED
from unshaken.labels.losses.multi_scale_consistency import mixture, multi_scale_consistency, multi_scale_cross_entropy

CARD = [(0.9, 0.1), (0.6, 0.4), (0.75, 0.25)]


def pixel(p):
    return torch.tensor(p, dtype=torch.float64).log().view(1, -1, 1, 1)


def test_three_scales_of_one_pixel():
    logits = [pixel(p) for p in CARD]
    assert mixture([z.exp() for z in logits]).flatten().tolist() == pytest.approx([0.75, 0.25])
    assert multi_scale_consistency(logits, gate="none").item() == pytest.approx(0.1266, abs=5e-5)
    each = [stats.entropy(p, CARD[2]) for p in CARD]
    assert each == pytest.approx([0.0725, 0.0541, 0.0], abs=5e-5)
    divergence = stats.entropy(CARD[2]) - sum(stats.entropy(p) for p in CARD) / 3
    assert multi_scale_consistency(logits, gate="none").item() / 3 == pytest.approx(divergence, abs=1e-9)
    assert divergence == pytest.approx(0.0422, abs=5e-5)


def test_scales_that_agree_and_scales_in_another_order():
    logits = torch.randn(3, 2, 4, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = logits.clamp(-1, 1)  # nothing is clamped by the mixture
    assert multi_scale_consistency([logits[0]] * 3, gate="none").item() == pytest.approx(0, abs=1e-12)
    one = multi_scale_consistency(list(logits), gate="none")
    assert multi_scale_consistency(list(logits.flip(0)), gate="none").item() == pytest.approx(one.item(), abs=1e-12)


def test_the_gates():
    sure, unsure = CARD, [(0.5, 0.5), (0.6, 0.4), (0.7, 0.3)]
    logits = [torch.cat([pixel(a), pixel(b)], 3) for a, b in zip(sure, unsure, strict=True)]
    alone = multi_scale_consistency([pixel(p) for p in sure], gate="none").item()
    both = multi_scale_consistency(logits, gate="none").item()
    at = {"sure": 0.7}
    assert multi_scale_consistency(logits, gate="image", **at).item() == pytest.approx(both)
    assert multi_scale_consistency(logits, gate="pixel", **at).item() == pytest.approx(alone / 2)
    assert multi_scale_consistency(logits, gate="image", sure=0.8).item() == 0
    ignored = torch.tensor([[[IGNORED, 0]]])
    assert multi_scale_consistency(logits, ignored, gate="image", **at).item() == 0


def test_the_gradient_flows_through_both_arguments():
    logits = [pixel(p).requires_grad_() for p in CARD]
    multi_scale_consistency(logits, gate="none").backward()
    assert all(z.grad.abs().sum() > 0 for z in logits)
    a, b, c = (z.detach().requires_grad_() for z in logits)
    assert torch.autograd.gradcheck(lambda *z: multi_scale_consistency(list(z), gate="none"), (a, b, c))


def test_cross_entropy_of_a_third_of_the_logits():
    logits, label = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64)
    assert multi_scale_cross_entropy([logits], label).item() == pytest.approx(0.126928, abs=1e-6)
    assert multi_scale_cross_entropy([logits] * 3, label).item() == pytest.approx(3 * 0.414370, abs=3e-6)


def test_ignored_pixels_stay_in_the_mean():
    logits = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4)
    labels = torch.tensor([[[0, 0, IGNORED, IGNORED]]])
    assert multi_scale_cross_entropy([logits], labels).item() == pytest.approx(0.126928 / 2, abs=1e-6)
