"""Purify, then classify: what the model sees, by networks that say nought; randomness, gradients, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken import load_model
from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.generate import DDPM, EDM, UNet, UNetSettings, save
from unshaken.harden.defences.purify import Purify


def images(n=4):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def flat():
    return Classifier(nn.Flatten(), name="flat")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of fresh models: what their networks say is nought."""
    folder = tmp_path_factory.mktemp("models")
    small = UNetSettings(image=(1, 8, 8), width=4, levels=(1,))
    save(EDM(UNet(small)), folder / "edm.safetensors")
    save(DDPM(UNet(small)), folder / "ddpm.safetensors")
    save(EDM(UNet(UNetSettings(image=(1, 28, 28), width=4, levels=(1,)))), folder / "large.safetensors")
    return folder


def test_one_step_back_shows_what_the_denoiser_makes_of_the_noise(saved):
    """The nought EDM has D = c_skip x: at noise of 1/4, t = 1/2 on x in [-1, 1], half of x and of its noise."""
    guarded = Purify(denoiser=str(saved / "edm.safetensors"), sigma=0.25, steps=1).wrap(flat())
    x = images()[:1].mul(0.2).add(0.4)  # so that nothing is clipped
    seen = guarded(x.expand(4000, 1, 8, 8)).detach().view(4000, 1, 8, 8)
    half = ((2 * x - 1) / 2 + 1) / 2
    assert torch.allclose(seen.mean(0), half[0], atol=4 * 0.125 / 4000**0.5 + 2e-3)
    assert float((seen - half).std()) == pytest.approx(0.125, rel=0.02)


@pytest.mark.parametrize("kind", ["edm", "ddpm"])
def test_passes_differ_and_follow_from_the_seed(saved, kind):
    guarded = Purify(denoiser=str(saved / f"{kind}.safetensors"), steps=3).wrap(flat())
    assert guarded.random
    guarded.reseed(5)
    first, second = guarded(images()).detach(), guarded(images()).detach()
    assert not torch.allclose(first, second, atol=1e-3)
    guarded.reseed(5)
    assert torch.equal(guarded(images()), first)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1


def test_gradients_pass_the_way_back_and_a_stand_in_lets_them_through(saved):
    guarded = Purify(denoiser=str(saved / "edm.safetensors"), sigma=0.25, steps=1).wrap(flat())
    x = images().mul(0.2).add(0.4).requires_grad_(True)
    (slope,) = torch.autograd.grad(guarded(x).sum(), x)
    inside = slope != 0  # elsewhere the prediction was clipped
    assert float(inside.float().mean()) > 0.9
    assert torch.allclose(slope[inside], torch.tensor(0.5), atol=0.01)
    (easy,) = guarded.surrogates().values()
    (slope,) = torch.autograd.grad(easy(x).sum(), x)
    assert torch.equal(slope, torch.ones_like(x))
    direct = Purify(denoiser=str(saved / "edm.safetensors"), straight_through=True).wrap(flat())
    assert not direct.surrogates()


def test_the_specification_of_a_model_takes_it(saved):
    model = load_model(f"demo:standard?defence=purify:denoiser={saved / 'large.safetensors'},sigma=0.1,steps=2")
    assert model.random
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_what_does_not_fit_is_refused(saved):
    small = str(saved / "edm.safetensors")
    with pytest.raises(ModelError, match="is for images of 1x8x8"):
        Purify(denoiser=small).wrap(load_model("demo:standard"))
    with pytest.raises(ParameterError, match=r"sigma=41.*less than or equal to 40"):
        Purify(denoiser=small, sigma=41)
    with pytest.raises(ParameterError, match="steps=0"):
        Purify(denoiser=small, steps=0)
