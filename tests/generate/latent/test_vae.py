"""The VAE: its bound by hand, training, samples, variations, and its file."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate.fitting import Fitting, fit
from unshaken.generate.latent.vae import VAESettings
from unshaken.generate.saved import load, load_generator, save


def test_the_loss_is_the_bound_as_torch_distributions_have_it(vae):
    images = (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    rng = SampleRng.of(0, "vae", list("abc"))
    mean, log_variance = vae.encoder(images).chunk(2, 1)
    posterior = Normal(mean, (log_variance / 2).exp())
    codes = posterior.mean + posterior.stddev * rng.fold("code").normal(3)
    likelihood = Bernoulli(logits=vae.rest(vae.features(codes))).log_prob(images).flatten(1).sum(1)
    wanted = (kl_divergence(posterior, Normal(0.0, 1.0)).sum(1) - likelihood) / 64
    assert torch.allclose(vae.loss(2 * images - 1, rng), wanted, atol=1e-5)


def test_training_makes_the_loss_small_and_codes_tell_images_apart(clothes):
    images, _ = clothes
    model = VAESettings(latents=4, width=4).build((1, 8, 8), 0)
    start = (model.generate(model.encode(images.float() / 255)) - images.float() / 255).square().mean().item()
    fitted = fit(model, images, None, Fitting(steps=120, batch_size=32, lr=1e-2, warmup=5))
    assert sum(fitted.losses[-10:]) < 0.85 * sum(fitted.losses[:10])
    with torch.no_grad():
        made = fitted.model.generate(fitted.model.encode(images.float() / 255))
    assert float((made - images.float() / 255).square().mean()) < 0.4 * start


def test_samples_and_variations_hang_on_their_number_alone(vae):
    five = vae.sample(5, seed=7)
    assert (five.shape, five.dtype) == ((5, 1, 8, 8), torch.float32)
    assert 0 <= float(five.min()) <= float(five.max()) <= 1
    assert torch.allclose(vae.sample(2, seed=7, first=2, batch_size=1), five[2:4], atol=1e-5)
    images = torch.rand(3, 1, 8, 8)
    near, far = (vae.vary(images, s, seed=1) - vae.generate(vae.encode(images)) for s in (0.05, 1.0))
    assert float(near.abs().mean()) < float(far.abs().mean())


def test_options_that_it_has_not_are_refused(vae):
    for options, message in (({"steps": 3}, "steps=3: a vae draws in one step"), ({"guidance": 0}, "guidance=0")):
        with pytest.raises(ParameterError, match=message):
            vae.sample(1, **options)
    with pytest.raises(ParameterError, match="without classes"):
        vae.sample(1, labels=torch.tensor([0]))
    with pytest.raises(ParameterError, match="multiples of 4, not 9x8: use"):
        VAESettings().build((1, 9, 8), 0)


def test_it_is_read_back_and_damage_is_told(vae, tmp_path):
    place, images = tmp_path / "vae.safetensors", torch.rand(2, 1, 8, 8)
    save(vae, place)
    again = load_generator(place)
    assert torch.equal(again.encode(images), vae.encode(images))
    assert again.settings == vae.settings
    with pytest.raises(ModelError, match="no diffusion model"):
        load(place)
    with torch.no_grad():
        vae.first.weight[0, 0] = math.nan
    save(vae, place)
    with pytest.raises(ModelError, match="weights that are no numbers"):
        load_generator(place)
