"""Made planes repeat without a seam."""

import numpy as np
import pytest
import torch

from unshaken.data.textures import FAMILIES, make_plane
from unshaken.explain.textures.seams import seam_ratios


def ratio(pixels):
    return float(seam_ratios(torch.from_numpy(pixels)[None, None]).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plane_repeats_and_is_the_same_for_a_seed(family):
    planes = [make_plane(family, 48, seed) for seed in range(6)]
    assert all(plane.dtype == np.float32 and plane.min() == 0 and plane.max() == 1 for plane in planes)
    assert np.array_equal(planes[3], make_plane(family, 48, 3))
    assert not np.array_equal(planes[3], planes[4])
    # a seam may stand on an edge of the pattern itself; moved by half, the same plane has it elsewhere
    ratios = [min(ratio(np.roll(plane, k, (0, 1))) for k in (0, 7, 19)) for plane in planes]
    assert max(ratios) < 2.5
    assert ratio(make_plane(family, 96, 0)[:40, :40]) > 0.5
