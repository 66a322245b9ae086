"""What the model sees, how brightness decides, that attacks pass, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken import load_model
from unshaken.core import Classifier
from unshaken.core.classifier import View
from unshaken.core.errors import ModelError, ParameterError
from unshaken.generate.self_regression import SelfRegressionSettings, fit_self_regression
from unshaken.harden.defences.noise_self_regression import EnhancingClassifier, NoiseSelfRegression

QUICK = {"hidden": 4, "patch": 12, "steps": 2}


def flat():
    return Classifier(nn.Flatten(), name="flat")


def images(n=3, channels=3):
    return torch.rand(n, channels, 8, 10, generator=torch.Generator().manual_seed(0))


def test_the_model_sees_the_enhanced_image():
    guarded = NoiseSelfRegression(**QUICK)
    enhance = fit_self_regression(SelfRegressionSettings(**QUICK))
    for channels in (1, 3):
        x = images(channels=channels)
        assert torch.allclose(guarded.wrap(flat())(x).view(x.shape), enhance(x))


def test_brightness_decides_which_images_are_enhanced():
    x = torch.stack([torch.full((3, 8, 8), value) for value in (0.1, 0.5, 0.9)])
    seen = EnhancingClassifier(lambda images: images * 0, 0.3, 0.8, nn.Identity()).enhanced(x)
    assert seen.amax((1, 2, 3)).tolist() == [0, 0.5, 0]
    white = EnhancingClassifier(lambda images: images * 0, 1.0, 1.0, nn.Identity()).enhanced(torch.ones(1, 3, 8, 8))
    assert white.sum() == 0


def test_luminance_weighs_the_channels():
    green = torch.zeros(1, 3, 8, 8)
    green[:, 1] = 0.5  # luminance 0.2935
    for below, changed in ((0.29, False), (0.30, True)):
        seen = EnhancingClassifier(lambda images: images * 0, below, 1.0, nn.Identity()).enhanced(green)
        assert bool((seen == 0).all()) == changed


def test_a_file_stands_for_the_training(tmp_path):
    file = tmp_path / "net.safetensors"
    net = fit_self_regression(SelfRegressionSettings(**QUICK, seed=5))
    net.save(file)
    x = images()
    assert torch.equal(NoiseSelfRegression(file=str(file)).wrap(flat())(x).view(x.shape), net(x))
    with pytest.raises(ParameterError, match=r"is trained already: leave hidden, steps out"):
        NoiseSelfRegression(file=str(file), steps=2, hidden=4).network()


def test_gradients_are_those_of_the_enhanced_image():
    net = fit_self_regression(SelfRegressionSettings(**QUICK)).double()
    guarded = EnhancingClassifier(net, 0.8, 1.0, nn.Flatten())
    x = 0.1 + 0.8 * torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(guarded, (x.requires_grad_(True),), fast_mode=True)


def test_a_spec_names_it_and_a_model_of_other_channels_is_refused():
    model = load_model("demo:standard?defence=noise-self-regression:hidden=4,patch=12,steps=2,below=0.3")
    assert model.name == "demo:standard behind noise-self-regression"
    assert not any(p.requires_grad for p in model.net.enhance.parameters())
    four = Classifier(nn.Flatten(), view=View(8, 8, channels=4))
    with pytest.raises(ModelError, match="takes 4 channels, not 1 or 3"):
        NoiseSelfRegression(**QUICK).wrap(four)
