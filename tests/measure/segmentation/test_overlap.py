"""Overlap of masks against scikit-learn's counts, and ignored pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from unshaken.core.masks import IGNORED, overlap_counts
from unshaken.measure import dice, iou


def test_it_is_the_jaccard_index_and_the_f1_score_of_each_class():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (2, 5, 9, 9))
    other[0] = IGNORED
    counts = overlap_counts(torch.from_numpy(one), torch.from_numpy(other).to(torch.uint8), 4)
    flat = one[1:].ravel(), other[1:].ravel()
    assert np.allclose(iou(counts), jaccard_score(flat[1], flat[0], average=None))
    assert np.allclose(dice(counts), f1_score(flat[1], flat[0], average=None))


def test_counts_add_up_over_batches():
    rng = np.random.default_rng(1)
    one, other = (torch.from_numpy(a) for a in rng.integers(0, 3, (2, 6, 4, 4)))
    parts = sum(overlap_counts(one[i : i + 2], other[i : i + 2], 3) for i in (0, 2, 4))
    assert torch.equal(parts, overlap_counts(one, other, 3))


def test_an_absent_class_has_no_overlap():
    counts = overlap_counts(torch.zeros(4).long(), torch.zeros(4).long(), 2)
    assert iou(counts).tolist() == [1.0, pytest.approx(float("nan"), nan_ok=True)]
    assert np.isnan(dice(counts)[1])
