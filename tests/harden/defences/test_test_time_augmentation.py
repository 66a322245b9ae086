"""Views by hand, and their mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.defences.test_time_augmentation import TestTimeAugmentation, shifted


def test_shifted_by_hand():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert shifted(x, 1, 0)[0, 0].tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert shifted(x, 0, -1)[0, 0].tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]


class Corner(nn.Module):
    """Logits: the image's first pixel, and 0."""

    def forward(self, x):
        first = x[:, 0, 0, 0]
        return torch.stack([first, torch.zeros_like(first)], 1)


X = torch.tensor([[0.2, 0.4, 0.8]]).view(1, 1, 1, 3)


def test_the_mean_over_mirror_and_shifts():
    mirrored = TestTimeAugmentation(mean="logits").wrap(Classifier(Corner()))
    assert mirrored(X)[0].tolist() == pytest.approx([(0.2 + 0.8) / 2, 0])
    moved = TestTimeAugmentation(mirror=False, shift=1, mean="logits").wrap(Classifier(Corner()))
    assert moved(X)[0].tolist() == pytest.approx([(0.2 + 0.2 + 0.4 + 0.2 + 0.2) / 5, 0])
    assert not moved.random
    assert not moved.surrogates()


def test_the_mean_of_probabilities():
    guarded = TestTimeAugmentation().wrap(Classifier(Corner()))
    p = (torch.sigmoid(torch.tensor(0.2)) + torch.sigmoid(torch.tensor(0.8))) / 2
    assert guarded(X).exp()[0].tolist() == pytest.approx([float(p), 1 - float(p)])
    assert guarded.surrogates()["logits"](X)[0].tolist() == pytest.approx([0.5, 0])


def test_noisy_views_differ_from_pass_to_pass_and_follow_the_seed():
    guarded = TestTimeAugmentation(mirror=False, noisy=3, sigma=0.1).wrap(Classifier(Corner()))
    assert guarded.random
    first, second = guarded(X), guarded(X)
    assert not torch.equal(first, second)
    guarded.reseed("run/0")
    one = guarded(X)
    guarded.reseed("run/0")
    assert torch.equal(guarded(X), one)


def test_one_view_is_refused():
    with pytest.raises(ParameterError, match="one view only"):
        TestTimeAugmentation(mirror=False).wrap(Classifier(Corner()))
