"""JSMA on a linear network of two classes: which values it changes, and when it stops, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.gradient.jsma import JSMA
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle

WEIGHTS = [0.5, -3.0, -1.0, 2.0, -2.0, 0.1]
"""Of the margin `w x + b` of class 1."""


def attacked(bias, eps=1.0, *, weights=WEIGHTS, image=(0.5,) * 6, **options):
    net = nn.Linear(len(weights), 2)
    with torch.no_grad():
        net.weight.copy_(torch.stack([torch.zeros(len(weights)), torch.tensor(weights)]))
        net.bias.copy_(torch.tensor([0.0, bias]))
    model = Classifier(nn.Sequential(nn.Flatten(), net)).eval()
    batch = Batch(torch.tensor(image).view(1, 1, 1, -1), torch.tensor([1]), ("a",))
    (found,), _ = JSMA(**options).attack(Oracle(model), batch, norm="linf", eps=[eps])
    return found


def changed(found):
    return (found.images.flatten() != 0.5).nonzero().flatten().tolist()


def test_the_two_values_that_lower_the_label_most_are_changed_first():
    found = attacked(bias=3.0)  # margin 1.3, and 1.3 - (3 + 2) / 2 = -1.2 after the first pair
    assert changed(found) == [1, 4]
    assert bool(found.fooled)
    assert found.images.flatten()[[1, 4]].tolist() == [1.0, 1.0]
    assert int(found.backwards) == 1


def test_only_rising_values_are_changed_and_each_once():
    found = attacked(bias=9.0)  # -0.5 more by the third value, and no other helps
    assert not bool(found.fooled)
    assert int(found.backwards) == 3  # two pairs, and a look that finds nothing more


def test_values_may_be_lowered_instead():
    found = attacked(bias=2.0, theta=-1.0)  # margin 0.3, less (2 + 0.5) / 2
    assert changed(found) == [0, 3]
    assert bool(found.fooled)


def test_the_ball_bounds_the_change():
    assert not bool(attacked(bias=3.0, eps=0.2).fooled)  # 1.3 - 0.2 (3 + 2 + 1)
    found = attacked(bias=3.4, eps=0.3)  # 1.7 - 0.3 (3 + 2) is left by the first pair
    assert bool(found.fooled)
    assert changed(found) == [1, 2, 4]


def test_a_change_of_nothing_is_refused():
    with pytest.raises(ParameterError, match="other than 0"):
        JSMA(theta=0)


def test_a_value_at_its_wall_is_passed_over():
    found = attacked(bias=5.0, image=(0.5, 1.0, 0.5, 0.5, 0.5, 0.5))  # -3 is at 1 already: -2 and -1 are left
    assert changed(found) == [1, 2, 4]  # the second is 1 as before
    assert found.images.flatten()[[1, 2, 4]].tolist() == [1.0, 1.0, 1.0]
    assert int(found.backwards) == 2


def test_a_value_that_has_no_part_is_not_changed():
    found = attacked(bias=9.0, weights=[0.0, -3.0, 0.0, 2.0], image=(0.5,) * 4)
    assert changed(found) == [1]
    assert int(found.backwards) == 2


def test_of_a_single_value_the_pair_is_that_value():
    found = attacked(bias=0.4, weights=[-1.0], image=(0.1,))
    assert found.images.flatten().tolist() == [1.0]
    assert bool(found.fooled)


def test_steps_are_as_many_as_allowed():
    found = attacked(bias=9.0, steps=1)
    assert changed(found) == [1, 4]
    assert int(found.backwards) == 1
    assert JSMA(steps=7).cost(10) == (7, 7)
