"""The sensor by hand: light and display values, noise of known size, highlights that are lost."""

import pytest
import torch

from unshaken.core import Batch
from unshaken.stress.camera._sensor import READ, WELL, expose, to_display, to_light
from unshaken.stress.camera.overexposure import Overexposure
from unshaken.stress.camera.underexposure import Underexposure


def flat(value, side=64):
    return Batch(torch.full((1, 1, side, side), value), None, ("a",))


def test_display_values_and_light_are_inverse_and_those_of_the_standard():
    values = torch.linspace(0, 1, 256, dtype=torch.float64)
    assert torch.allclose(to_display(to_light(values)), values, atol=1e-6)
    assert to_light(torch.tensor(188 / 255)).item() == pytest.approx(0.5029, abs=1e-4)  # half the light is level 188


def test_without_noise_half_the_light_is_recorded():
    images = torch.tensor([[[[0.0, 1.0]]]], dtype=torch.float64)
    changed = expose(images, -1, torch.zeros_like(images))
    assert torch.allclose(changed, torch.tensor([[[[0.0, 0.7354]]]], dtype=torch.float64), atol=1e-4)


def test_the_noise_is_that_of_the_photons_and_of_the_reading():
    white = expose(torch.ones(1, 1, 200, 200, dtype=torch.float64), -6, torch.randn(1, 1, 200, 200).double())
    electrons = to_light(white) * WELL
    assert float(electrons.mean()) == pytest.approx(WELL / 64, rel=0.01)
    assert float(electrons.var()) == pytest.approx(WELL / 64 + READ**2, rel=0.03)


def test_each_severity_is_darker():
    means = [float(Underexposure().apply(flat(0.5), s).images.mean()) for s in range(1, 6)]
    assert means == sorted(means, reverse=True)
    for mean, stops in ((means[0], -2), (means[-1], -6)):
        assert mean == pytest.approx(to_display(torch.tensor(0.2140 * 2.0**stops)).item(), abs=0.005)


@pytest.mark.parametrize(
    ("method", "value", "stops"), [(Overexposure, 0.1, (1, 1.5, 2, 2.5, 3)), (Underexposure, 0.8, (-2, -3, -4, -5, -6))]
)
def test_each_severity_is_a_number_of_stops(method, value, stops):
    light = to_light(torch.tensor(value)).item()
    found = [to_light(method().apply(flat(value, 128), s).images).mean().item() / light for s in range(1, 6)]
    assert found == pytest.approx([2.0**stop for stop in stops], rel=0.06)


def test_highlights_are_lost_for_good():
    bright = Batch(torch.tensor([0.6, 0.8, 1.0]).view(1, 1, 1, 3).expand(1, 1, 8, 3).repeat(1, 1, 1, 3), None, ("a",))
    changed = Overexposure().apply(bright, 5).images
    assert changed.min() > 0.99
    assert float(Overexposure().apply(flat(0.1), 1).images.mean()) > 0.1
