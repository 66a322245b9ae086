"""EDM against numbers by hand, a denoiser in closed form, and an equation with a known solution."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate.edm import EDM, EDMSettings, heun, karras_grid, preconditioning
from unshaken.generate.generator import NoiseNet

from .conftest import MEAN, STD, GaussianEDM, LabelNet

# t: c_skip, c_out, c_in, c_noise with sigma_data 1/2, by hand: at t = 1, 0.25/1.25, 0.5/sqrt(1.25), 1/sqrt(1.25), 0
BY_HAND = {
    0.5: (0.5, 0.353553, 1.414214, -0.173287),
    1.0: (0.2, 0.447214, 0.894427, 0.0),
    2.0: (0.0588235, 0.485071, 0.485071, 0.173287),
    0.002: (0.999984, 0.002, 1.999984, -1.553652),
    80.0: (3.90610e-5, 0.499990, 0.0124998, 1.095507),
}


@pytest.mark.parametrize("t", BY_HAND)
def test_preconditioning_by_hand(t):
    found = [float(c) for c in preconditioning(torch.tensor(t, dtype=torch.float64))]
    assert found == pytest.approx(BY_HAND[t], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "points"),
    [
        (81, {0: 80.0, 1: 74.6976, 53: 0.49271, 48: 0.96542, 42: 2.00365, 79: 0.002709, 80: 0.002}),
        (41, {26: 0.56663, 24: 0.96542, 21: 2.00365}),
        (21, {13: 0.56663, 12: 0.96542, 11: 1.58398}),
    ],
)
def test_the_grid_by_hand(n, points):
    grid = karras_grid(n)
    assert grid.shape == (n,)
    for i, value in points.items():
        assert float(grid[i]) == pytest.approx(value, rel=1e-5, abs=6e-7)


def test_grids_nest():
    assert torch.allclose(karras_grid(81)[::2], karras_grid(41), rtol=1e-12, atol=0)


@pytest.mark.parametrize("bad", [{"n": 1}, {"n": 5, "least": 0}, {"n": 5, "largest": 0.001}, {"n": 5, "rho": 0}])
def test_grids_that_cannot_be(bad):
    with pytest.raises(ParameterError, match="a grid has 2 points or more"):
        karras_grid(**bad)


def test_predict_is_the_ideal_denoiser_where_the_network_is_ideal():
    noisy, t = torch.tensor([[0.9, -0.4], [0.0, 3.0]]).view(2, 1, 1, 2), torch.tensor([0.3, 2.0])
    found = EDM(GaussianEDM((1, 1, 2))).predict(noisy, t)
    # 0.2 + 0.5 (x - 0.2); 0.2 + 0.09 / 4.09 (x - 0.2)
    assert found.flatten().tolist() == pytest.approx([0.55, -0.1, 0.195599, 0.261614], abs=1e-5)


def test_denoise_is_in_pixels_of_0_to_1():
    # x = 2 image - 1 = 0.8, noise 0.3 on x is 0.15 on images: 0.5 is the posterior mean, 0.75 as an image
    model = EDM(GaussianEDM())
    image = torch.full((1, 1, 4, 4), 0.9)
    assert model.denoise(image, 0.15).flatten().tolist() == pytest.approx([0.75] * 16, abs=1e-5)
    assert float(model.denoise(image + 100, 0.15).max()) == 1


def test_samples_have_the_mean_and_deviation_of_the_data():
    found = 2 * EDM(GaussianEDM()).sample(200, steps=40, batch_size=200) - 1
    n = found.numel()
    assert float(found.mean()) == pytest.approx(MEAN, abs=4 * STD / math.sqrt(n))
    assert float(found.std()) == pytest.approx(STD, abs=4 * STD / math.sqrt(2 * n))


def test_the_path_of_a_gaussian_is_known():
    # dx/dt = (x - D)/t = t (x - m) / (s^2 + t^2), so x - m goes as sqrt(s^2 + t^2)
    x = torch.tensor([[40.0, -100.0]], dtype=torch.float64)
    ideal = lambda x, t: MEAN + STD**2 / (STD**2 + t**2) * (x - MEAN)  # noqa: E731
    exact = MEAN + (x - MEAN) * STD / math.sqrt(STD**2 + 80.0**2)
    assert torch.allclose(heun(ideal, x, karras_grid(300)), exact, atol=3e-4)


def test_heun_is_of_second_order():
    # from t = 2 to the end of the grid at 1, where the last step is left out by a denoiser that stands still below it
    ideal = lambda x, t: STD**2 / (STD**2 + t**2) * x  # noqa: E731
    x = torch.ones(1, dtype=torch.float64)

    def at_one(n):
        grid = torch.linspace(2, 1, n + 1, dtype=torch.float64)
        asked = []

        def denoiser(x, t):
            asked.append((t, x.clone()))
            return ideal(x, t)

        heun(denoiser, x, grid)
        assert len(asked) == 2 * n + 1
        return asked[-1][1]

    exact = math.sqrt((STD**2 + 1) / (STD**2 + 4))
    errors = [abs(float(at_one(n)) - exact) for n in (8, 16, 32)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_heun_against_scipy():
    bent = lambda x, t: torch.tanh(x) / (1 + t)  # noqa: E731
    grid = karras_grid(400, largest=5.0, least=1e-3)
    found = heun(bent, torch.tensor([3.0, -1.0], dtype=torch.float64), grid)
    path = integrate.solve_ivp(
        lambda t, x: (x - torch.tanh(torch.from_numpy(x)).numpy() / (1 + t)) / t, (5.0, 1e-3), [3.0, -1.0], rtol=1e-10
    )
    last = torch.from_numpy(path.y[:, -1])
    assert torch.allclose(found, bent(last, 1e-3), atol=1e-4)


class Silent(NoiseNet):
    """Says nought."""

    def forward(self, x, position, labels=None):
        return torch.zeros_like(x)


def test_the_loss_of_a_silent_network_by_hand():
    # D = c_skip (x + t n); lambda |D - x|^2 with x = 0: lambda c_skip^2 t^2 n^2 = s^2/(t^2+s^2) n^2
    model = EDM(Silent((1, 16, 16)))
    rng = SampleRng.of(0, "loss", [str(i) for i in range(400)])
    t = torch.exp(-1.2 + 1.2 * rng.fold("sigma").normal())
    expected = (0.25 / (t**2 + 0.25)).mean()  # n^2 has mean 1
    assert float(model.loss(torch.zeros(400, 1, 16, 16), rng).mean()) == pytest.approx(float(expected), rel=0.02)
    logs = t.log()
    assert float(logs.mean()) == pytest.approx(-1.2, abs=0.2)
    assert float(logs.std()) == pytest.approx(1.2, abs=0.15)


def test_the_weight_makes_every_level_count_the_same():
    # with sigma_data the true deviation of the data, a silent network has loss 1 at every level of noise
    x = 0.5 * torch.randn(600, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for mean in (-3.0, 0.0, 3.0):
        model = EDM(Silent((1, 8, 8)), EDMSettings(mean=mean, std=0.1))
        loss = model.loss(x, SampleRng.of(0, "loss", [str(i) for i in range(600)]))
        assert float(loss.mean()) == pytest.approx(1, abs=0.02)


def test_a_sample_is_the_same_in_any_batch():
    model = EDM(GaussianEDM())
    whole = model.sample(7, steps=5, batch_size=7)
    assert torch.allclose(model.sample(7, steps=5, batch_size=2), whole, atol=1e-6)
    assert torch.allclose(model.sample(2, steps=5, first=5), whole[5:], atol=1e-6)
    assert not torch.allclose(model.sample(7, steps=5, seed=1), whole, atol=1e-2)
    assert model.sample(0).shape == (0, 1, 4, 4)


def test_bad_input():
    model, image = EDM(GaussianEDM()), torch.zeros(1, 1, 4, 4)
    with pytest.raises(ModelError, match=r"is for images of 1x4x4 .* not 3x4x4"):
        model.denoise(torch.zeros(1, 3, 4, 4), 0.1)
    with pytest.raises(ModelError, match="not 1x4x4"):
        model.denoise(image[0], 0.1)
    for sigma in (0.0, -1.0, float("nan"), 41.0):
        with pytest.raises(ParameterError, match="sigma"):
            model.denoise(image, sigma)
    with pytest.raises(ParameterError, match="without classes"):
        model.denoise(image, 0.1, torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ParameterError, match="2 points"):
        model.sample(1, steps=1)
    with pytest.raises(ParameterError, match="n=-1"):
        model.sample(-1)
    with pytest.raises(ParameterError, match="batch_size=0"):
        model.sample(1, batch_size=0)
    conditional = EDM(LabelNet())
    with pytest.raises(ParameterError, match=r"0 to 3; the model knows 0\.\.2"):
        conditional.sample(2, labels=torch.tensor([0, 3]))
    with pytest.raises(ParameterError, match="int64 of shape"):
        conditional.sample(2, labels=torch.tensor([0]))
