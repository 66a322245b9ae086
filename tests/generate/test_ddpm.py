"""DDPM against numbers by hand, the posterior in its textbook form, and a noise predictor in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate.ddpm import DDPM, DDPMSettings, betas, ddim_step
from unshaken.generate.generator import NoiseNet

from .conftest import MEAN, STD, GaussianDDPM, LabelNet


def ideal(timesteps=1000, schedule="linear"):
    settings = DDPMSettings(timesteps=timesteps, schedule=schedule)
    return DDPM(GaussianDDPM((1 - betas(timesteps, schedule)).cumprod(0)), settings)


def test_alpha_bar_by_hand():
    model = DDPM(LabelNet())
    # (1 - 1e-4), that times (1 - 1e-4 - 0.0199 / 999), and the known end of the chain
    assert float(model.alpha_bar[0]) == pytest.approx(0.9999, abs=1e-12)
    assert float(model.alpha_bar[1]) == pytest.approx(0.9999 * (1 - 1e-4 - 0.0199 / 999), abs=1e-12)
    # ln a_T = sum ln(1 - b) ~ -sum b - sum b^2 / 2 - sum b^3 / 3, sums of an arithmetic series
    step = 0.0199 / 999
    b = [1e-4 + i * step for i in range(1000)]
    series = -sum(b) - sum(x**2 for x in b) / 2 - sum(x**3 for x in b) / 3
    assert math.log(float(model.alpha_bar[-1])) == pytest.approx(series, abs=1e-4)
    assert float(model.alpha_bar[-1]) == pytest.approx(4.04e-5, abs=0.01e-5)


def test_cosine_betas_by_hand():
    found = (1 - betas(1000, "cosine")).cumprod(0)
    for t in (1, 500, 900):  # cos^2(pi/2 (t/T + .008)/1.008) / cos^2(pi/2 .008/1.008)
        by_hand = (math.cos(math.pi / 2 * (t / 1000 + 0.008) / 1.008) / math.cos(math.pi / 2 * 0.008 / 1.008)) ** 2
        assert float(found[t - 1]) == pytest.approx(by_hand, rel=1e-9)
    assert float(betas(1000, "cosine")[-1]) == 0.999


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_short_chain_ends_in_noise(schedule):
    a = (1 - betas(20, schedule)).cumprod(0)
    assert float(a[-1]) < 1e-3
    assert bool((a.diff() < 0).all())


def test_the_timestep_of_a_noise_level():
    model = DDPM(LabelNet())
    # for sigma: the t whose sqrt((1-a)/a) is nearest 2 sigma; around it the ratio differs by under a percent
    for sigma in (0.12, 0.25, 0.5, 1.0):
        t = model.timestep(sigma)
        a = float(model.alpha_bar[t])
        assert math.sqrt((1 - a) / a) == pytest.approx(2 * sigma, rel=0.01)
    # 2 sigma = 1 means a = 1/2: the sum of betas up to t is about ln 2 less the squares; t = 259 by a loop by hand
    product, t = 1.0, 0
    while product > 0.5:
        product *= 1 - (1e-4 + t * 0.0199 / 999)
        t += 1
    assert model.timestep(0.5) in (t - 1, t - 2)
    assert model.timestep(1e-6) == 0
    assert model.timestep(float(model.ratios[-1]) / 2) == 999


def test_denoise_scales_by_the_signal_and_gives_the_posterior_mean():
    # sigma 0.15 is 0.3 on x, the deviation of the data: half way to the mean, as an image (0.2 + 0.8)/2 -> 0.75
    found = ideal().denoise(torch.full((1, 1, 4, 4), 0.9), 0.15)
    assert found.flatten().tolist() == pytest.approx([0.75] * 16, abs=0.003)
    assert float(ideal().denoise(torch.full((1, 1, 4, 4), 30.0), 0.15).max()) == 1


def test_the_ancestral_step_in_its_textbook_form():
    # q(x_s | x_t, x), s = t - 1, has mean sqrt(a_s) b/(1-a_t) x + sqrt(1-b)(1-a_s)/(1-a_t) x_t
    # and variance (1-a_s)/(1-a_t) b
    a_s, b = 0.6, 0.1
    a_t = a_s * (1 - b)
    x, x_t, z = (torch.tensor([v], dtype=torch.float64) for v in (0.5, -0.7, 1.3))
    mean = math.sqrt(a_s) * b / (1 - a_t) * x + math.sqrt(1 - b) * (1 - a_s) / (1 - a_t) * x_t
    deviation = math.sqrt((1 - a_s) / (1 - a_t) * b)
    assert torch.allclose(ddim_step(x_t, x, a_t, a_s, z, eta=1.0), mean + deviation * z, rtol=1e-12)


def test_ddim_keeps_the_noise_of_the_image():
    # x_t = sqrt(.36) .5 + sqrt(.64) n with n = 2: x_s = sqrt(.64) .5 + sqrt(.36) 2
    x, n = torch.tensor([0.5]), torch.tensor([2.0])
    found = ddim_step(0.6 * x + 0.8 * n, x, 0.36, 0.64, torch.tensor([9.0]), eta=0.0)
    assert float(found) == pytest.approx(0.8 * 0.5 + 0.6 * 2)


@pytest.mark.parametrize(
    ("steps", "eta", "tolerance"), [(None, 1.0, 0.01), (250, 0.0, 0.01), (100, 1.0, 0.03), (50, 0.5, 0.03)]
)
def test_samples_have_the_mean_and_deviation_of_the_data(steps, eta, tolerance):
    found = 2 * ideal().sample(300, steps=steps, eta=eta, clip=False, batch_size=300) - 1
    n = found.numel()
    assert float(found.mean()) == pytest.approx(MEAN, abs=4 * STD / math.sqrt(n))
    assert float(found.std()) == pytest.approx(STD, abs=tolerance)


def test_a_sample_is_the_same_in_any_batch():
    model = ideal(timesteps=10, schedule="cosine")
    whole = model.sample(7, batch_size=7)
    assert torch.allclose(model.sample(7, batch_size=2), whole, atol=1e-6)
    assert torch.allclose(model.sample(2, first=5), whole[5:], atol=1e-6)
    assert not torch.allclose(model.sample(7, seed=1), whole, atol=1e-2)


def test_part_of_the_way_back_purifies():
    model = ideal()
    x = MEAN + STD * torch.randn(400, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    rng = SampleRng.of(0, "purify", [str(i) for i in range(400)])
    noisy = model.noised(x, 300, rng.fold("in").normal(1, 4, 4))
    back = model.reverse(noisy, list(range(300, -1, -1)), rng, clip=False)
    assert float(back.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(back.std()) == pytest.approx(STD, abs=0.02)
    # another draw given x_t: correlated with the image by r = a s^2 / (a s^2 + 1 - a)
    a = float(model.alpha_bar[300])
    r = a * STD**2 / (a * STD**2 + 1 - a)
    assert float((back - x).std()) == pytest.approx(STD * math.sqrt(2 * (1 - r)), rel=0.03)
    assert float((noisy - math.sqrt(a) * x).std()) == pytest.approx(math.sqrt(1 - a), rel=0.03)


class Silent(NoiseNet):
    """Says nought."""

    def forward(self, x, position, labels=None):
        self.seen = position
        return torch.zeros_like(x)


def test_the_loss_of_a_silent_network_is_the_noise_itself():
    model = DDPM(Silent((1, 16, 16)), DDPMSettings(timesteps=50))
    loss = model.loss(torch.zeros(500, 1, 16, 16), SampleRng.of(0, "loss", [str(i) for i in range(500)]))
    assert loss.shape == (500,)
    assert float(loss.mean()) == pytest.approx(1, abs=0.02)
    positions = model.net.seen
    assert set(positions.tolist()) == {20.0 * t for t in range(50)}


def test_the_ideal_predictor_has_the_least_loss():
    # E |n - E[n | x_t]|^2 = a s^2 / (a s^2 + 1 - a), averaged over t
    model = ideal(timesteps=100)
    x = MEAN + STD * torch.randn(2000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    loss = model.loss(x, SampleRng.of(0, "loss", [str(i) for i in range(2000)]))
    a = model.alpha_bar
    assert float(loss.mean()) == pytest.approx(float((a * STD**2 / (a * STD**2 + 1 - a)).mean()), rel=0.1)


def test_bad_input():
    model, image = DDPM(LabelNet(), DDPMSettings(timesteps=10)), torch.zeros(1, 1, 4, 4)
    with pytest.raises(ModelError, match="is for images of 1x4x4"):
        model.denoise(torch.zeros(1, 1, 4, 5), 0.1)
    for sigma in (0.0, -0.1, float("nan"), 1e9):
        with pytest.raises(ParameterError, match="sigma"):
            model.denoise(image, sigma)
    for options in ({"steps": 0}, {"steps": 11}, {"eta": 1.5}):
        with pytest.raises(ParameterError, match="must be 1 to 10"):
            model.sample(1, **options)
    with pytest.raises(ParameterError, match="timesteps"):
        DDPMSettings(timesteps=1)
    with pytest.raises(ParameterError, match="schedule"):
        DDPMSettings(schedule="square")
