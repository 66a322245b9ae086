import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken_papers.rigid.stand_ins import drawings, halved, low_rank, spectrum


def rng(n):
    return SampleRng.of(0, "t", [str(i) for i in range(n)])


def photos(n=3, side=32):
    """Smooth pictures of random colours."""
    small = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(small, side, mode="bilinear") * 255).round() / 255


def test_half_the_size_and_back():
    flat = torch.full((1, 3, 8, 8), 0.2)
    assert torch.allclose(halved(flat, "bicubic"), flat, atol=1 / 510)
    stripes = torch.zeros(1, 1, 4, 4)
    stripes[..., 0], stripes[..., 3] = 1, 0.4
    assert halved(stripes, "nearest")[0, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.2, 0.2], abs=1 / 255)


def test_few_cosines():
    x = photos()
    assert torch.allclose(low_rank(x, 8), x, atol=1 / 510)
    means = torch.nn.functional.avg_pool2d(x, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert torch.allclose(low_rank(x, 1), means, atol=1 / 255)
    errors = [
        (low_rank(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)), k) - 0.5).var() for k in (2, 5)
    ]
    assert errors[0] < errors[1]


def test_noise_with_the_contrast_of_a_photo():
    x = 0.4 + 0.2 * photos(2, 64)
    made = spectrum(x, rng(2))
    assert torch.allclose(made.mean((2, 3)), x.mean((2, 3)), atol=0.01)
    assert torch.allclose(made.std((2, 3)), x.std((2, 3)), rtol=0.05)
    power = torch.fft.fft2(made[0, 0] - made[0, 0].mean()).abs()
    f = torch.hypot(torch.fft.fftfreq(64)[:, None], torch.fft.fftfreq(64)[None])
    low, high = power[(f > 0.02) & (f < 0.06)].mean(), power[(f > 0.2) & (f < 0.24)].mean()
    assert 3 < low / high < 10  # 1/f: the middles of the bands are 5.5 apart


def test_drawings_are_flat_and_their_own():
    a, b = drawings(3, 64, rng(3)), drawings(3, 64, rng(3))
    assert torch.equal(a, b)
    assert a.shape == (3, 3, 64, 64)
    assert not torch.equal(a[0], a[1])
    assert (a.diff(dim=3) == 0).all(1).float().mean() > 0.6  # most pixels have the colour of the one beside
