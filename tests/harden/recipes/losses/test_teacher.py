"""Logits are told from probabilities, whatever the mode of the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.harden.recipes.losses._teacher import refuse_probabilities

IMAGES = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def test_a_softmax_at_the_end_is_refused_and_the_mode_stays():
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1))).train()
    with pytest.raises(ModelError, match=r"the teacher gives probabilities, not logits: .* take its softmax off"):
        refuse_probabilities(model, IMAGES, "the teacher")
    assert model.training


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid(), nn.LogSoftmax(1)])
def test_what_does_not_sum_to_one_or_is_negative_passes(last):
    linear = nn.Linear(4, 3)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    model = Classifier(nn.Sequential(nn.Flatten(), linear, last)).train()
    refuse_probabilities(model, IMAGES, "the model")
    assert model.training
