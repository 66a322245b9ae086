"""Inference-time defences on the simulated device, as on the CPU: logits and gradients through the guard."""

from __future__ import annotations

import copy

import pytest
import torch

import unshaken
from tests.devices.simulated import agree
from unshaken.core.registry import list_methods
from unshaken.data.resident import Samples
from unshaken.generate import EDM, UNet, UNetSettings, save
from unshaken.harden.defences.frequency_prompt import FrequencyPrompt
from unshaken.harden.defences.multi_resolution import widened
from unshaken.harden.engine.defence import Defence
from unshaken.harden.engine.ensemble import ensemble, redrawn

DEFENCES = [m for m in list_methods("harden") if issubclass(m.cls, Defence)]


@pytest.fixture(scope="module")
def digits():
    samples = Samples(unshaken.load_data("demo"), None, 10, limit=60)
    return samples.whole(samples.good)


@pytest.fixture
def guarded(method, digits, tmp_path):
    """Makes the model that a defence guards, and guards it on a device."""
    model, values = unshaken.load_model("demo:standard"), {}
    if method.name == "mixture":
        values["robust"] = "demo:robust"
    elif method.name == "noise-self-regression":
        values |= {"hidden": 4, "patch": 12, "steps": 2}
    elif method.name == "crossmax":
        model = ensemble([model, unshaken.load_model("demo:robust"), redrawn(model, 1)]).eval()
    elif method.name == "multi-resolution":
        model = widened(model, 4).eval()
    elif method.name in ("denoise", "purify"):
        save(EDM(UNet(UNetSettings(image=(1, 28, 28), width=4, levels=(1,)))), tmp_path / "edm.safetensors")
        values["denoiser"] = str(tmp_path / "edm.safetensors")
    elif method.name == "frequency-prompt":
        pixels = (digits.images * 255).round().to(torch.uint8)
        FrequencyPrompt(clusters=3, epochs=1).fit(model, pixels, digits.labels).save(str(tmp_path / "prompts"))
        values["file"] = str(tmp_path / "prompts")

    def guard(place):
        return method.cls(**values).wrap(copy.deepcopy(model).to(place))

    return guard


@pytest.mark.parametrize("method", DEFENCES, ids=[m.name for m in DEFENCES])
def test_logits_and_gradients(method, guarded, digits, device):
    found = []
    for place in (device, torch.device("cpu")):
        model = guarded(place)
        model.reseed(3)
        points = digits.images[:5].to(place).requires_grad_(True)
        logits = model(points)
        (gradient,) = torch.autograd.grad(logits[:, 0].sum(), points, allow_unused=True)
        found.append((logits.detach().cpu(), None if gradient is None else gradient.cpu()))
        for other in model.surrogates().values():
            assert other(points).device == place
    (logits, gradient), (expected, slope) = found
    assert agree(logits, expected, apart=1e-5)
    assert (gradient is None) == (slope is None)
    if slope is not None:
        assert agree(gradient, slope, apart=1e-4)
