"""From logits to classes, and rows without a usable output."""

from __future__ import annotations

import math

import torch

from unshaken.core.classifier import NO_CLASS, predict


def test_the_largest_logit_decides_and_what_is_not_finite_decides_nothing():
    nan, inf = math.nan, math.inf
    rows = [[0.0, 2.0], [2.0, 0.0], [1.0, 1.0], [nan, 2.0], [2.0, nan], [inf, 0.0], [-inf, 0.0], [-inf, -inf]]
    assert predict(torch.tensor(rows)).tolist() == [1, 0, 0, -1, -1, -1, 1, -1]
    assert predict(torch.tensor(rows).view(2, 4, 2)).shape == (2, 4)


def test_no_classes_no_class():
    found = predict(torch.zeros(2, 3, 0))
    assert found.tolist() == [[NO_CLASS] * 3] * 2
    assert found.dtype == torch.int64
