"""Noise of masks: which pixels may change, on shapes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.masks import IGNORED
from unshaken.data.mask_noise import AREA, annotate_roughly, drop_instances, grow, shrink


@pytest.fixture
def square():
    """A square of class 1 that has about the standard number of pixels, so that nothing is resized."""
    side = round(AREA**0.5)
    mask = np.zeros((48, 48), np.uint8)
    mask[8 : 8 + side, 8 : 8 + side] = 1
    return mask, side


def test_a_square_loses_and_gains_a_rim(square):
    mask, side = square
    assert (shrink(mask, 1, 2) == 1).sum() == pytest.approx((side - 4) ** 2, rel=0.02)
    assert (grow(mask, 1, 3) == 1).sum() == pytest.approx((side + 6) ** 2, rel=0.02)
    assert np.array_equal(grow(mask, 1, 0), mask)


def test_a_small_class_changes_as_much_as_a_large_one(square):
    mask, _ = square
    small = mask[::2, ::2]
    large = np.kron(mask, np.ones((2, 2), np.uint8))
    shares = [(shrink(m, 1, 3) == 1).sum() / (m == 1).sum() for m in (small, mask, large)]
    assert max(shares) - min(shares) < 0.12  # without the standard size 0.27


def test_growing_takes_background_alone_and_shrinking_gives_to_it(square):
    mask, _ = square
    mask = mask.copy()
    mask[:4], mask[-4:] = 2, IGNORED
    wider, narrower = grow(mask, 1, 4), shrink(mask, 1, 4)
    assert set(mask[wider != mask].tolist()) == {0}
    assert set(wider[wider != mask].tolist()) == {1}
    assert set(narrower[narrower != mask].tolist()) == {0}
    assert np.array_equal(wider == IGNORED, mask == IGNORED)


def test_an_image_is_grown_or_shrunk_as_a_whole(square):
    mask, _ = square
    sizes = [(annotate_roughly(mask, [(2, 4)], np.random.default_rng(i)) == 1).sum() for i in range(40)]
    before = (mask == 1).sum()
    assert 10 <= sum(s > before for s in sizes) <= 30
    assert len(set(sizes)) == 6  # two to four steps of either kind
    assert np.array_equal(*(annotate_roughly(mask, [(2, 4)], np.random.default_rng(7)) for _ in range(2)))
    assert all(
        (annotate_roughly(mask, [(2, 4)], np.random.default_rng(i), grown=0) == 1).sum() < before for i in range(5)
    )


def test_instances_are_dropped_whole():
    mask = np.zeros((20, 20), np.uint8)
    for i in range(0, 20, 4):
        mask[i : i + 2] = 1
    mask[2] = 2
    kept = [
        len(set(np.flatnonzero((drop_instances(mask, 1, 0.5, np.random.default_rng(i)) == 1).any(1)) // 4))
        for i in range(60)
    ]
    assert 2 < np.mean(kept) < 3
    assert (drop_instances(mask, 1, 1.0, np.random.default_rng(0)) == np.where(mask == 1, 0, mask)).all()
