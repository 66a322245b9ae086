"""Purification against what it must be: the identity at 0, the chain's moments, and the mean for a perfect denoiser."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.detect.watermark.purify import (
    DiffusionPurification,
    NoiseThenDenoise,
    add_noise,
    as_ddpm,
    diffused,
    equivalent_noise,
    steps_of,
)
from unshaken.generate import DDPM, EDM, DDPMSettings, UNet, UNetSettings
from unshaken.generate.generator import NoiseNet

SHAPE = (1, 8, 8)


def rng(n):
    return SampleRng.of(0, "test", [str(i) for i in range(n)])


def images(n=3):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0))


def edm():
    return EDM(UNet(UNetSettings(image=SHAPE, width=4, levels=(1,)))).eval()


class Knows(NoiseNet):
    """The noise in `x_t` of a distribution that is one image: what a perfect denoiser would say."""

    def __init__(self, image, alpha_bar):
        super().__init__(SHAPE)
        self.x, self.a = 2 * image - 1, alpha_bar

    def forward(self, x, position, labels=None):
        a = self.a[(position * len(self.a) / 1000).round().long()].to(x).view(-1, 1, 1, 1)
        return (x - a.sqrt() * self.x) / (1 - a).sqrt()


def chain(image=None):
    alpha_bar = DDPM(Knows(torch.zeros(SHAPE), torch.zeros(1))).alpha_bar
    return DDPM(Knows(torch.zeros(SHAPE) if image is None else image, alpha_bar))


@pytest.mark.parametrize("purifier", [add_noise, NoiseThenDenoise(edm()), DiffusionPurification(chain())])
def test_strength_0_is_the_identity(purifier):
    assert torch.equal(purifier(images(), 0.0, rng(3)), images())


def test_noise_has_the_deviation_asked_for_and_is_not_clipped():
    found = add_noise(torch.ones(200, *SHAPE), 0.3, rng(200)) - 1
    assert float(found.std()) == pytest.approx(0.3, rel=0.02)
    assert float(found.mean()) == pytest.approx(0, abs=0.01)
    assert float(found.max()) > 0.5
    one = add_noise(torch.ones(1, *SHAPE), 0.3, rng(1)) - 1
    assert torch.equal(one[0], found[0])  # a sample's noise is its own, whatever the batch


@pytest.mark.parametrize(
    ("fraction", "t", "alpha_bar", "s"),
    [(0.1, 100, 0.8970, 0.339), (0.2, 200, 0.6590, 0.719), (0.3, 300, 0.3964, 1.234)],
)
def test_the_chain_by_its_published_numbers(fraction, t, alpha_bar, s):
    model = chain()
    assert steps_of(model, fraction) == t
    assert float(model.alpha_bar[t - 1]) == pytest.approx(alpha_bar, abs=6e-5)
    assert 2 * equivalent_noise(model, fraction) == pytest.approx(s, abs=6e-4)
    assert equivalent_noise(model, 0) == 0
    assert (steps_of(model, 0), steps_of(model, 1)) == (0, 1000)
    x = torch.full((400, *SHAPE), 0.8)  # 0.6 on [-1, 1]
    x_t = diffused(x, model, fraction, rng(400))
    n = x_t.numel()
    assert float(x_t.mean()) == pytest.approx(math.sqrt(alpha_bar) * 0.6, abs=4 * math.sqrt((1 - alpha_bar) / n))
    assert float(x_t.var()) == pytest.approx(1 - alpha_bar, rel=4 * math.sqrt(2 / n))


@pytest.mark.parametrize("every", [1, 7])
def test_a_perfect_denoiser_of_one_image_gives_that_image(every):
    image = images(1)[0]
    found = DiffusionPurification(chain(image), every)(images(3), 0.1, rng(3))
    assert torch.allclose(found, image.expand(3, -1, -1, -1), atol=1e-5)


def test_the_way_back_begins_and_ends_where_it_must():
    model, asked = chain(), []
    inner = model.predict
    model.predict = lambda x, t, *a, **k: asked.append(t) or inner(x, t, *a, **k)
    DiffusionPurification(model)(images(), 0.02, rng(3))
    assert asked == list(range(19, -1, -1))
    asked.clear()
    DiffusionPurification(model, every=8)(images(), 0.02, rng(3))
    assert asked == [19, 16, 8, 0]


def test_denoising_is_told_the_noise():
    model, seen = edm(), []
    model.denoise = lambda x, sigma, labels=None: seen.append((float((x - 0.5).std()), sigma)) or x
    NoiseThenDenoise(model)(torch.full((100, *SHAPE), 0.5), 0.2, rng(100))
    assert seen[0][1] == 0.2
    assert seen[0][0] == pytest.approx(0.2, rel=0.03)


def test_an_edm_on_a_chain_predicts_the_same_clean_image():
    """`(x_t - sqrt(1-a) n) / sqrt(a)` of the predicted noise is D itself."""
    model = edm()
    as_chain = as_ddpm(model, DDPM(model.net, DDPMSettings(timesteps=50)))
    x_t = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    assert (len(as_chain.alpha_bar), len(as_ddpm(model).alpha_bar)) == (50, 1000)
    a = as_chain.alpha_bar[17]
    ratio = float(((1 - a) / a).sqrt())
    with torch.no_grad():
        direct = model.predict(x_t / float(a.sqrt()), torch.full((3,), ratio))
        found = as_chain.predict(x_t, 17, clip=False)
    assert torch.allclose(found, direct, atol=1e-5)


def test_what_is_refused():
    with pytest.raises(ParameterError, match="strength"):
        add_noise(images(), -0.1, rng(3))
    with pytest.raises(ParameterError, match="fraction"):
        DiffusionPurification(chain())(images(), 1.1, rng(3))
    with pytest.raises(ModelError, match="1x8x8"):
        DiffusionPurification(chain())(torch.zeros(3, 3, 8, 8), 0.1, rng(3))
    with pytest.raises(ModelError, match="1x8x8"):
        NoiseThenDenoise(edm())(torch.zeros(3, 3, 8, 8), 0.1, rng(3))
