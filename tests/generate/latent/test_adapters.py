"""A diffusion model's code: the exact way of Gaussian pixels, the way back, and directions in its middle."""

from __future__ import annotations

import pytest
import torch

from tests.generate.conftest import MEAN, STD, GaussianEDM
from unshaken.core.errors import ParameterError
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.edm import EDM
from unshaken.generate.latent.adapters import LEAST, DiffusionCodes
from unshaken.generate.latent.directions import feature_directions


def test_the_way_of_gaussian_pixels_is_that_of_their_quantiles():
    """`dx/dt = (x - D) / t` moves x - m in proportion to `sqrt(s^2 + t^2)`: from noise to pixels and back."""
    ways = DiffusionCodes(EDM(GaussianEDM()), steps=80)
    codes = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    start = ways.deviation * codes
    ratio = ((STD**2 + LEAST**2) / (STD**2 + float(ways.levels[0]) ** 2)) ** 0.5
    wanted = (MEAN + ratio * (start - MEAN) + 1) / 2
    made = ways.generate(codes).flatten(1)
    inside = (wanted > 0.05) & (wanted < 0.95)  # the denoiser is cut to [0, 1]
    assert int(inside.sum()) > 60
    assert float((made - wanted)[inside].abs().max()) < 0.02
    kept = inside.all(1)
    back = ways.encode(ways.generate(codes))
    assert float((back - codes)[kept].abs().max()) < 0.05


def test_codes_of_both_kinds_of_model_lead_back_to_their_images(tiny):
    images = 0.3 + 0.4 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for model in (EDM(tiny), DDPM(tiny, DDPMSettings(timesteps=100))):
        ways = DiffusionCodes(model.eval(), steps=24)
        assert ways.latents == 64
        with torch.no_grad():
            error = (ways.generate(ways.encode(images)) - images).abs().mean()
        assert float(error) < 0.1


def test_directions_come_from_the_middle_of_the_network(tiny):
    ways = DiffusionCodes(EDM(tiny).eval(), steps=2)
    assert ways.first_weight() is None
    with torch.no_grad():
        middle = ways.middle(torch.randn(3, 64))
    assert middle.shape == (3, 16 * 2 * 2)  # a level of 16 channels at a quarter of the side
    directions, values = feature_directions(ways, 4, drawn=64)
    torch.testing.assert_close(directions @ directions.T, torch.eye(4), atol=1e-4, rtol=0)
    assert bool((values.diff() <= 0).all())


def test_a_way_has_two_levels_at_least(tiny):
    with pytest.raises(ParameterError, match="steps=1 must be 2 or more"):
        DiffusionCodes(EDM(tiny), steps=1)
