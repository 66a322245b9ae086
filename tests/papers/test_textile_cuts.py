"""Whole cuts of planes are shifts of one period; broken ones differ as their kind says."""

import numpy as np
import pytest
import torch

from unshaken.data.textures import make_plane
from unshaken.explain.textures.seams import seam_ratios
from unshaken_papers.textile.cuts import BREAKS, cut, cut_made, kinds, sample_plane, vary


def ratio(pixels):
    return float(seam_ratios(torch.from_numpy(pixels)[None, None]).max())


def test_a_whole_cut_of_a_period_as_long_is_a_shift():
    plane = make_plane("cells", 32, 0)
    found = cut(plane, 32, "whole", np.random.default_rng(5))
    down, across = np.random.default_rng(5).integers(0, 32, 2)
    assert np.allclose(found, np.roll(plane, (-down, -across), (0, 1)), atol=1e-6)


@pytest.mark.parametrize("kind", BREAKS)
def test_broken_cuts_have_seams(kind):
    broken = [ratio(cut_made("noise", 48, kind, seed)) for seed in range(12)]
    whole = [ratio(cut_made("noise", 48, "whole", seed)) for seed in range(12)]
    assert np.median(broken) > 1.5 * np.median(whole)


def test_a_plane_is_read_between_its_pixels_and_around_its_border():
    plane = np.arange(16, dtype=np.float32).reshape(4, 4)
    found = sample_plane(plane, 2, np.eye(2) * 0.5, np.array([3.0, 3.0]))
    assert found.tolist() == [[15, 13.5], [9, 7.5]]


def test_contrast_and_inversion_keep_the_seam_ratio():
    pixels = make_plane("bricks", 32, 1)
    for seed in range(4):
        varied = vary(pixels, np.random.default_rng(seed))
        assert varied.min() >= 0
        assert varied.max() <= 1
        assert ratio(varied) == pytest.approx(ratio(pixels), rel=1e-3)


def test_half_are_whole_and_the_others_take_turns():
    assert kinds(9) == ["whole", "crop", "whole", "short", "whole", "turned", "whole", "stretched", "whole"]
