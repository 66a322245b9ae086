"""The supervised contrastive loss by its identities and by hand; weighted cross-entropy."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.harden.recipes.pretraining.rrcm import info_nce
from unshaken.labels.losses.supervised_contrastive import supervised_contrastive, weighted_cross_entropy


@pytest.fixture
def views():
    g = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=g), torch.randn(6, 4, generator=g)


def test_each_its_own_positive_it_is_info_nce(views):
    found = supervised_contrastive(*views, torch.eye(6, dtype=torch.bool), 0.2)
    assert torch.allclose(found, info_nce(*views, 0.2), atol=1e-5)


def test_alike_embeddings_give_log_b_whatever_the_positives():
    same = torch.ones(6, 4)
    masks = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    found = supervised_contrastive(same, same, masks | torch.eye(6, dtype=torch.bool))
    assert found.tolist() == pytest.approx([math.log(6)] * 6, abs=1e-5)


def test_the_mean_over_positives_by_hand():
    eye = torch.eye(3)
    positives = torch.tensor([[True, True, False], [False, True, False], [True, True, True]])
    found = supervised_contrastive(eye, eye, positives, 1.0)
    rest = math.log(math.e + 2)
    assert found.tolist() == pytest.approx([rest - 1 / 2, rest - 1, rest - 1 / 3], abs=1e-5)


def test_weights_of_one_are_plain_cross_entropy_and_of_zero_leave_samples_out():
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(5, 3, generator=g), torch.tensor([0, 2, 1, 1, 0])
    targets = F.one_hot(labels, 3).float()
    plain = weighted_cross_entropy(logits, targets, torch.ones(5))
    assert plain.item() == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-6)
    weights = torch.tensor([1.0, 0, 1, 0, 0])
    assert weighted_cross_entropy(logits, targets, weights).item() == pytest.approx(
        F.cross_entropy(logits[[0, 2]], labels[[0, 2]]).item(), abs=1e-6
    )
    assert weighted_cross_entropy(logits, targets, torch.zeros(5)).item() == 0
