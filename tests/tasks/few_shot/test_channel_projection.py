"""The projection of channels keeps what spans the maps."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.tasks.few_shot.channel_projection import fit_channels


def test_maps_of_a_plane_keep_their_distances():
    g = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(10, 3, generator=g)).Q
    low = torch.randn(6, 3, 4, 4, generator=g)
    maps = torch.einsum("nchw,dc->ndhw", low, basis) + 5
    found = fit_channels(maps, 3)
    small = found(maps)
    assert small.shape == (6, 3, 4, 4)
    assert float(small.square().mean()) == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close((small[0] - small[1]).norm() * found.scale, (maps[0] - maps[1]).norm())


@pytest.mark.parametrize("channels", [0, 11, 16])
def test_too_many_channels_are_refused(channels):
    with pytest.raises(DataError, match="cannot be fitted"):
        fit_channels(torch.zeros(1, 10, 4, 4), channels)
