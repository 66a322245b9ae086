"""Generative models as search spaces: starts, gradients, and what is refused."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.semantic._generators import DenoisedSpace, LatentSpace, find_space, space_of
from unshaken.attack.semantic.oracle_bounded import OracleBound
from unshaken.core import Batch, Oracle
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate import EDM, UNet, UNetSettings, save
from unshaken.generate.auto_encoder import AutoEncoder
from unshaken.generate.latent.adapters import AutoEncoderCodes, LinearGenerator
from unshaken.generate.latent.vae import VAE, VAESettings

SHAPE = (1, 8, 8)


def linear(missing=0):
    """All images of 64 pixels, or those of the first of them."""
    return LinearGenerator(torch.eye(64)[:, : 64 - missing], torch.zeros(64), SHAPE).eval()


def images(n=3):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


def rng(n=3):
    return SampleRng.of(0, "t", [f"s{i}" for i in range(n)])


def test_codes_of_a_lossless_generator_give_the_images_back():
    space = space_of(linear(), "linear", 0.1)
    codes = space.start(images(), rng())
    assert torch.allclose(space.render(codes, images()), images(), atol=1e-5)


def test_an_auto_encoder_codes_row_after_row():
    net = AutoEncoder(0, channels=1, widths=(6,), code=4).eval()
    model = AutoEncoderCodes(net, SHAPE)
    assert model.latents == 4 * 2 * 2
    codes = model.encode(images())
    assert codes.shape == (3, 16)
    assert torch.allclose(model.generate(codes), net(images()), atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        AutoEncoderCodes(AutoEncoder(0, channels=1, widths=(6,), code=4), SHAPE),
        VAE(VAESettings(latents=4, width=4), SHAPE),
        EDM(UNet(UNetSettings(image=SHAPE, width=4))),
    ],
    ids=["auto-encoder", "vae", "edm"],
)
def test_gradients_reach_codes_and_samples_stand_alone(model):
    space = space_of(model, "m", 0.2)
    codes = space.start(images(), rng())
    alone = space.start(images()[1:2], rng()[torch.tensor([1])])
    assert torch.allclose(alone, codes[1:2], atol=1e-5)
    z = codes.detach().requires_grad_(True)
    made = space.render(z, images())
    assert made.shape == (3, *SHAPE)
    low, high = (float(v) for v in torch.aminmax(made.detach()))
    assert 0 <= low <= high <= 1
    (slope,) = torch.autograd.grad((made * (torch.arange(64.0).view(SHAPE) - 20)).sum(), z)
    assert bool((slope.flatten(1).abs().amax(1) > 0).all())


def test_a_saved_model_is_found_by_its_file(tmp_path):
    save(EDM(UNet(UNetSettings(image=SHAPE, width=4))), tmp_path / "edm.safetensors")
    save(VAE(VAESettings(latents=4, width=4), SHAPE), tmp_path / "vae.safetensors")
    found = [find_space(str(tmp_path / f"{n}.safetensors"), tv=0, noise=0.1) for n in ("edm", "vae")]
    assert [type(f) for f in found] == [DenoisedSpace, LatentSpace]
    with pytest.raises(ParameterError, match="sigma"):
        find_space(str(tmp_path / "edm.safetensors"), tv=0, noise=1e4)


def attack(generator, net, n=3, **options):
    batch = Batch(images(n), net(images(n)).argmax(1), tuple(f"s{i}" for i in range(n)))
    return OracleBound(**options).using(generator=generator).attack(Oracle(net), batch)[0][0], batch


def test_a_search_in_codes_leaves_what_they_cannot_show(make):
    """The last 16 pixels are none of the generator's: they are black from the start."""
    found, batch = attack(linear(16), make.net(), steps=4, rate=0.5)
    flat = found.images.flatten(1)
    searched = found.notes["stop"] >= 0
    assert bool(searched.all())
    assert not flat[:, 48:].any()
    assert not torch.allclose(flat[:, :48], batch.images.flatten(1)[:, :48], atol=0.05)


def test_the_lasso_freezes_codes(make):
    net = make.net(classes=2)
    x = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(1))
    batch = Batch(x, (x[:, 0, 2, 3] > 0.5).long(), tuple(map(str, range(40))))
    options = {"steps": 2, "rate": 1.0, "latent_mask": "lasso", "penalty": 0.1}
    (found,), _ = OracleBound(**options).using(generator=linear()).attack(Oracle(net), batch)
    moved = ((found.images - x).abs() > 2 / 255).any(0)[0]
    assert moved.nonzero().tolist() == [[2, 3]]


def test_what_does_not_fit_is_told(make):
    net = make.net()
    with pytest.raises(ModelError, match="for images of 1x4x4"):
        attack(VAE(VAESettings(latents=4, width=4), (1, 4, 4)), net)
    with pytest.raises(ModelError, match="for images of 3x8x8"):
        attack(EDM(UNet(UNetSettings(image=(3, 8, 8), width=4))), net)
    broken = VAE(VAESettings(latents=4, width=4), SHAPE)
    broken.first.bias.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite images"):
        attack(broken, net)
    without = linear()
    without.encode = lambda images: None
    with pytest.raises(ModelError, match="no encoder"):
        attack(without, net)
    with pytest.raises(ModelError, match="no codes to search in"):
        attack(torch.nn.Identity(), net)


def test_files_that_are_named_belong_to_the_run():
    assert OracleBound(generator="vae.st", map="a.txt+b.txt").further_files == ("a.txt", "b.txt", "vae.st")
    assert OracleBound(generator="diffusers:ddpm").further_files == ("ddpm",)
    assert OracleBound(generator="transform").further_files == OracleBound(generator="py:a.py:make").further_files == ()
