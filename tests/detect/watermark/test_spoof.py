"""The blend by hand, and a mark that survives it."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.detect.watermark.spoof import blend, noise_images
from unshaken.detect.watermark.watermark import SpreadSpectrum


def rng(n):
    return SampleRng.of(0, "test", [str(i) for i in range(n)])


def clean(n=20):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("peak", [1.0, 0.75, 0.5])
def test_noise_runs_from_0_to_its_peak(peak):
    noise = noise_images((3, 16, 16), peak, rng(5)).flatten(1)
    assert noise.amin(1).tolist() == [0.0] * 5
    assert noise.amax(1).tolist() == pytest.approx([peak] * 5)
    middle = ((noise - noise.mean(1, keepdim=True)) / noise.std(1, keepdim=True)).abs() < 1
    assert float(middle.float().mean()) == pytest.approx(0.683, abs=0.02)  # a normal's share within one deviation


def test_nothing_is_blended_in_at_full_weight_and_no_room():
    assert torch.equal(blend(clean(), noise_images((3, 16, 16), 1.0, rng(20)), beta=1.0, peak=0.0), clean())


def test_the_room_that_an_image_leaves():
    """beta 0.5 of a maximum of 200/255 leaves 155/255; the noise's maximum becomes that."""
    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 0, 0] = 200 / 255
    noise = torch.tensor([[[[0.0, 0.5], [0.25, 0.1]]]])
    expected = torch.tensor([[[[100.0, 155.0], [77.5, 31.0]]]]) / 255
    assert torch.allclose(blend(image, noise, beta=0.5), expected, atol=1e-6)
    image[0, 0, 0, 0] = 201 / 255  # 100.5 leaves 154.5, rounded up
    assert float(blend(image, noise, beta=0.5)[0, 0, 0, 1]) == pytest.approx(155 / 255, abs=1e-6)


def test_the_result_is_an_image():
    for beta in (0.0, 0.3, 0.7, 1.0):
        for peak in (None, 1.0):
            found = blend(clean(), noise_images((3, 16, 16), 1.0, rng(20)), beta=beta, peak=peak)
            assert float(found.min()) >= 0
            assert float(found.max()) <= 1
    assert torch.equal(blend(clean(), torch.zeros_like(clean()), beta=1.0), clean())


def test_marked_noise_makes_images_pass_for_marked():
    mark = SpreadSpectrum((3, 16, 16), 8 / 255)
    noise = noise_images((3, 16, 16), 0.75, rng(20))
    fake, control = blend(clean(), mark.encode(noise)), blend(clean(), noise)
    assert float((mark.score(fake) > mark.score(control)).float().mean()) == 1.0


def test_what_is_refused():
    noise = noise_images((3, 16, 16), 1.0, rng(20))
    with pytest.raises(ParameterError, match="beta"):
        blend(clean(), noise, beta=1.1)
    with pytest.raises(ParameterError, match="peak"):
        blend(clean(), noise, peak=2.0)
    with pytest.raises(ParameterError, match="one shape"):
        blend(clean(), noise[:, :1])
    with pytest.raises(ParameterError, match="peak"):
        noise_images((3, 16, 16), 0.0, rng(1))
