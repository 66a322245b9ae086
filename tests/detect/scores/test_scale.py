"""Energy of stretched features."""

import math

import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.scale import SCALE

HEAD = Anatomy("toy", 2, "head", (), torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]), torch.tensor([0.5, 0]))


def forward(features):
    return ForwardPass(HEAD, HEAD.read_out(features).float(), {"head:in": features})


def test_by_hand():
    # sums 3.6 and 3.0 of (.1, 2, .5, 1): nothing is pruned, all is multiplied by exp(1.2)
    factor = math.exp(1.2)
    expected = -math.log(math.exp(0.6 * factor + 0.5) + math.exp(3 * factor))
    found = SCALE(percentile=50).score(forward(torch.tensor([[0.1, 2, 0.5, 1]])), {})
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_flat_features_are_stretched_more_than_peaked_ones_of_the_same_sum():
    flat, peaked = forward(torch.tensor([[1.0, 1, 1, 1]])), forward(torch.tensor([[2.0, 2, 0, 0]]))
    assert SCALE(percentile=75).score(flat, {}) < SCALE(percentile=75).score(peaked, {})


def test_features_below_zero_are_refused():
    with pytest.raises(ModelError, match="scale: the head's input has values below 0"):
        SCALE().score(forward(torch.tensor([[1.0, -0.5, 0, 2]])), {})
