"""Shapes of layers' outputs, found by one pass over blank images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.harden.engine.probe import channels_of, probe


def net(side, channels=2):
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * (side // 2) ** 2, 7)
    )


def test_channels_are_those_of_the_first_convolution():
    assert channels_of(net(8)) == 2
    assert channels_of(nn.Linear(3, 2)) == 3


def test_shapes_and_classes_at_the_first_side_that_fits():
    model = Classifier(net(28)).train()
    assert probe(model, ["0", "3"]) == ([torch.Size([5, 14, 14]), torch.Size([7])], 7)
    assert model.training


def test_a_view_says_the_size():
    assert probe(Classifier(net(10, 1), view=View(10, 10, channels=1)), ["0"]) == ([torch.Size([5, 5, 5])], 7)


def test_a_model_that_takes_none_of_the_sizes_is_refused():
    with pytest.raises(ModelError, match=r"takes images of none of the sides .*: give a model with a view"):
        probe(Classifier(net(10)), ["0"])


def test_sides_that_a_model_asserts_not_to_take_are_passed_over():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net(64)

        def forward(self, x):
            assert x.shape[-1] == 64
            return self.body(x)

    assert probe(Classifier(Picky()), ["body.0"]) == ([torch.Size([5, 32, 32])], 7)
