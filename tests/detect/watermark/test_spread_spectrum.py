"""A faint pattern over the whole image: how far it moves the image, and its correlation by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.detect.watermark.watermark import (
    SpreadSpectrum,
)

GRAY = torch.full((2, 3, 32, 32), 0.5)


@pytest.mark.parametrize(("a", "norm"), [(2 / 255, 0.4347), (8 / 255, 1.7388)])
def test_a_pattern_moves_an_image_by_a_root_d(a, norm):
    mark = SpreadSpectrum((3, 32, 32), a)
    change = mark.encode(GRAY) - GRAY
    assert torch.allclose(change.abs(), torch.tensor(a), atol=1e-6)
    assert change.flatten(1).norm(dim=1).tolist() == pytest.approx([norm, norm], abs=6e-5)
    dark = SpreadSpectrum((3, 32, 32), a).encode(torch.zeros(1, 3, 32, 32))
    assert 0 < float(dark.norm()) < norm  # less after clipping


def test_the_correlation_by_hand():
    """On a flat image the 3 x 3 mean takes all away; a lone pixel leaves 8/9 of itself and -1/9 around."""
    mark = SpreadSpectrum((1, 5, 5), 0.1)
    assert float(mark.score(torch.full((1, 1, 5, 5), 0.7)).abs()) < 1e-7
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 0.9
    p = mark.pattern[0]
    around = float(p[1:4, 1:4].sum() - p[2, 2])
    assert float(mark.score(image)) == pytest.approx((0.8 * float(p[2, 2]) - 0.1 * around) / 25, abs=1e-7)


def test_spread_spectrum_separates_and_needs_its_own_key(make):
    mark, other = SpreadSpectrum((3, 32, 32), 4 / 255), SpreadSpectrum((3, 32, 32), 4 / 255, seed=1)
    clean, marked = make.photos(), mark.encode(make.photos())
    assert float(mark.score(marked).min()) > float(mark.score(clean).max())
    assert bool(mark.bits(marked).all())
    assert mark.bits(marked).shape == (40, 1)
    assert float(other.score(marked).mean()) < 0.1 * float(mark.score(marked).mean())
