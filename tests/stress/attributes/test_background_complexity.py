"""Backgrounds of more and less complexity."""

import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken.generate import DDPM, UNet, UNetSettings, save
from unshaken.generate.ddpm import DDPMSettings
from unshaken.stress.attributes import background_complexity
from unshaken.stress.attributes.background_complexity import BackgroundComplexity, load_ddpm
from unshaken.stress.engine.complexity import complexity


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """An untrained diffusion model of 16 x 16 pixels, as a file."""
    settings = UNetSettings(image=(3, 16, 16), width=8, attention=False)
    path = tmp_path_factory.mktemp("model") / "ddpm.safetensors"
    save(DDPM(UNet(settings, seed=0), DDPMSettings()), path)
    return str(path)


def test_the_stand_in_orders_complexity(keeps_the_object, pictures):
    values = [
        complexity(keeps_the_object(BackgroundComplexity(guidance=g), 2), brightness=False).mean().item()
        for g in (-20.0, 0.0, 20.0)
    ]
    assert values[0] < values[1] < values[2]
    assert torch.equal(keeps_the_object(BackgroundComplexity(guidance=0.0)), pictures.images)


def test_diffusion_orders_complexity_around_the_object(keeps_the_object, generator):
    values = []
    for guidance in (-20.0, 0.0, 20.0):
        edit = BackgroundComplexity(guidance=guidance, generator=generator, steps=3)
        values.append(complexity(keeps_the_object(edit, 3), brightness=False).mean().item())
    assert values[0] < values[1] < values[2]


def test_the_generator_is_loaded_once(pictures, masks, generator, monkeypatch):
    loads = []
    monkeypatch.setattr(background_complexity, "load_ddpm", lambda name: loads.append(name) or load_ddpm(name))
    edit = BackgroundComplexity(generator=generator, steps=1).with_masks(masks)
    for severity in (1, 2):
        edit.apply(pictures, severity)
    assert loads == [generator]


def test_a_sample_is_made_as_alone(pictures, masks, generator):
    edit = BackgroundComplexity(generator=generator, steps=2).with_masks(masks)
    assert torch.equal(edit.apply(pictures, 1).images[1:2], edit.apply(pictures[1:2], 1).images)


def test_generators_that_do_not_fit_are_refused(pictures, masks, generator, tmp_path):
    grey = pictures.with_images(pictures.images[:, :1])
    with pytest.raises(ModelError, match="makes images of 3 channels, not of 1"):
        BackgroundComplexity(generator=generator).with_masks(masks).apply(grey, 1)
    with pytest.raises(ModelError, match=r"none\.safetensors"):
        BackgroundComplexity(generator=str(tmp_path / "none.safetensors")).with_masks(masks).apply(pictures, 1)
