"""Denoise, then classify: what the model sees, how gradients pass, and what is refused."""

from __future__ import annotations

import diffusers
import pytest
import torch
from torch import nn

from unshaken import load_model
from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import View
from unshaken.core.errors import ModelError, ParameterError, UnshakenError
from unshaken.core.search_copy import search_copy
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.edm import EDM
from unshaken.generate.saved import save
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.harden.defences.denoise import Denoise
from unshaken.harden.engine.adaptive import against


def images(n=3, shape=(1, 8, 8)):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of a fresh model of each kind for 8 x 8 and one for 28 x 28: what their networks say is nought."""
    folder = tmp_path_factory.mktemp("models")
    small = UNetSettings(image=(1, 8, 8), width=4, levels=(1,))
    save(EDM(UNet(small)), folder / "edm.safetensors")
    save(DDPM(UNet(small), DDPMSettings(timesteps=100)), folder / "ddpm.safetensors")
    save(EDM(UNet(UNetSettings(image=(1, 28, 28), width=4, levels=(1,)))), folder / "large.safetensors")
    return folder


def flat():
    return Classifier(nn.Flatten(), name="flat")


def test_the_model_sees_the_denoised_image(saved):
    # a network that says nought leaves D = c_skip x: at sigma 1/4, t = 1/2, half of x = 2 image - 1
    noisy = images() + 0.25
    seen = Denoise(denoiser=str(saved / "edm.safetensors"), sigma=0.25).wrap(flat())(noisy).view(noisy.shape)
    assert torch.allclose(seen, ((noisy * 2 - 1) / 2 + 1).clamp(0, 2) / 2, atol=1e-6)
    # no noise found: the image itself, clipped
    seen = Denoise(denoiser=str(saved / "ddpm.safetensors"), sigma=0.25).wrap(flat())(noisy).view(noisy.shape)
    assert torch.allclose(seen, noisy.clamp(0, 1), atol=1e-5)


def test_gradients_pass_and_two_passes_agree(saved):
    guarded = Denoise(denoiser=str(saved / "edm.safetensors"), sigma=0.25).wrap(flat())
    x = images().requires_grad_(True)
    first, second = guarded(x), guarded(x)
    assert torch.equal(first, second)
    (slope,) = torch.autograd.grad(first.sum(), x)
    assert torch.allclose(slope, torch.full_like(slope, 0.5), atol=1e-6)
    assert not guarded.random
    assert not guarded.training


def test_half_precision_and_what_is_left_alone(saved):
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), name="linear").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    guarded = Denoise(denoiser=str(saved / "edm.safetensors")).wrap(model)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    assert guarded.bare is model
    guarded = Denoise(denoiser=str(saved / "ddpm.safetensors"), sigma=0.1).wrap(flat())
    assert guarded(images().bfloat16()).dtype == torch.bfloat16
    whole = guarded(images())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(guarded(images()), whole, atol=0.02)
    assert torch.allclose(guarded.bfloat16()(images()).float(), whole, atol=0.02)


def test_the_specification_of_a_model_takes_it(saved):
    model = load_model(f"demo:standard?defence=denoise:denoiser={saved / 'large.safetensors'},sigma=0.5")
    assert model.name == "demo:standard behind denoise"
    assert model(images(2, (1, 28, 28))).shape == (2, 10)
    # sigma 1/2 is t = 1, c_skip = 0.2
    bare = load_model("demo:standard")
    x = images(2, (1, 28, 28))
    assert torch.allclose(model(x), bare((0.2 * (2 * x - 1) + 1) / 2), atol=1e-4)


def test_attacks_go_through_it(saved):
    class Pixel(nn.Module):
        def forward(self, x):
            v = 10 * (x.flatten(1)[:, :1] - 0.5)
            return torch.cat([v, -v], 1)

    x = torch.full((4, 1, 8, 8), 0.6)
    batch = Batch(x, torch.zeros(4, dtype=torch.int64), tuple("abcd"))
    guard = Denoise(denoiser=str(saved / "edm.safetensors"), sigma=0.25)  # half way to 1/2: 0.55
    guarded = guard.wrap(Classifier(Pixel()).eval())
    oracle = Oracle(guarded, search_copy=search_copy(guarded, x[:2]))
    found, _ = PGD(steps=5, rel_stepsize=0.5).attack(oracle, batch, norm="linf", eps=[0.09, 0.11], seed=0)
    assert [f.fooled.tolist() for f in found] == [[False] * 4, [True] * 4]
    result = against(guard, Classifier(Pixel()).eval(), batch, PGD(steps=5, rel_stepsize=0.5), eps=0.11)
    assert result.figures["adaptive"].value == 0


def test_it_is_certified_whole(saved):
    # half way to 1/2 by the denoiser, then the sign of the mean: noise on 64 pixels leaves the side of 0.7 certain
    class Mean(nn.Module):
        def forward(self, x):
            v = x.mean((1, 2, 3))[:, None] - 0.5
            return torch.cat([v, -v], 1)

    guarded = Denoise(denoiser=str(saved / "edm.safetensors"), sigma=0.25).wrap(Classifier(Mean()).eval())
    batch = Batch(torch.tensor([0.7, 0.3]).view(2, 1, 1, 1).expand(2, 1, 8, 8), torch.tensor([0, 0]), ("a", "b"))
    found = Smoothing(sigma=0.25, n=1000).certify(Oracle(guarded), batch)
    assert found.prediction.tolist() == [0, 1]
    # all of 1,000 votes: 0.25 Phi^-1(0.001^(1/1000))
    assert found.radius.tolist() == pytest.approx([0.25 * 2.4630] * 2, abs=1e-3)


def test_a_model_of_diffusers(tmp_path):
    net = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), attention_head_dim=4,
    )  # fmt: skip
    net.save_pretrained(tmp_path)
    guarded = Denoise(denoiser=f"diffusers:{tmp_path}").wrap(flat())
    assert torch.isfinite(guarded(images())).all()


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (View(8, 8, channels=3), "for images of 1x8x8 .* 'flat' for 3x8x8"),
        (View(32, 32, channels=1), "for images of 1x8x8 .* 'flat' for 1x32x32"),
    ],
)
def test_models_of_other_images_are_refused(saved, view, words):
    model = Classifier(nn.Flatten(), view=view, name="flat")
    with pytest.raises(ModelError, match=words) as error:
        Denoise(denoiser=str(saved / "edm.safetensors")).wrap(model)
    assert "\n" not in str(error.value)


def test_a_model_of_any_size_is_refused_at_the_first_image(saved):
    guarded = Denoise(denoiser=str(saved / "edm.safetensors")).wrap(flat())
    with pytest.raises(ModelError, match="for images of 1x8x8"):
        guarded(images(2, (3, 8, 8)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "parameter 'denoiser' is missing"),
        ({"denoiser": "x", "sigma": 0}, "sigma"),
        ({"denoiser": "x", "sigma": -1}, "sigma"),
        ({"denoiser": "x", "sigma": float("nan")}, "sigma"),
        ({"denoiser": ""}, "write the path"),
        ({"denoiser": "diffusers:"}, "write the path"),
        ({"denoiser": "diffusers:google/ddpm-cifar10-32"}, "download the model yourself"),
        ({"denoiser": "absent.safetensors"}, "no weights file"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(UnshakenError, match=words):
        Denoise(**options).wrap(flat())


def test_more_noise_than_the_chain_has(saved, tmp_path):
    chain = DDPMSettings(timesteps=1000, schedule="linear")
    save(DDPM(UNet(UNetSettings(image=(1, 8, 8), width=4, levels=(1,))), chain), tmp_path / "ddpm")
    # 2 sigma above sqrt((1 - 4.04e-5) / 4.04e-5) = 157.3 cannot be; sigma itself may not pass 40
    assert Denoise(denoiser=str(tmp_path / "ddpm"), sigma=40.0).wrap(flat()).name == "denoise(flat)"
    with pytest.raises(ParameterError, match="sigma"):
        Denoise(denoiser=str(tmp_path / "ddpm"), sigma=79.0)
