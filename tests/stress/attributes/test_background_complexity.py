"""Backgrounds of more and less complexity."""

import math

import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken.core.rng import SampleRng
from unshaken.generate import UNet, UNetSettings, save
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.generator import NoiseNet
from unshaken.stress.attributes import background_complexity
from unshaken.stress.attributes.background_complexity import BackgroundComplexity, blend_by_diffusion, load_ddpm
from unshaken.stress.engine.complexity import complexity


class OnePicture(NoiseNet):
    """The exact noise predictor of pictures near one: of a normal density around it, deviation `spread`."""

    def __init__(self, picture, spread):
        super().__init__(tuple(picture.shape))
        self.picture, self.spread = 2 * picture - 1, spread
        self.alpha_bar = DDPM(self).alpha_bar

    def forward(self, x, position, labels=None):
        a = float(self.alpha_bar[int(position[0].round())])
        noise, signal = 1 - a, a * self.spread**2
        mean = self.picture + signal / (signal + noise) * (x / math.sqrt(a) - self.picture)
        return (x - math.sqrt(a) * mean) / math.sqrt(noise)


PICTURE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
OTHERS = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
MASKS = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
MASKS[:, :, 5:11, 4:9] = True
RNG = SampleRng.of(0, "blend", ("a", "b"))


def blend(spread, guidance=0.0, steps=25):
    model = DDPM(OnePicture(PICTURE, spread)).eval()
    return blend_by_diffusion(model, OTHERS, OTHERS, MASKS, RNG, steps=steps, guidance=guidance)


@pytest.mark.parametrize("steps", [1, 5, 25])
def test_the_background_is_what_the_model_knows(steps):
    around = ~MASKS.expand_as(OTHERS)
    assert torch.allclose(blend(0.0, steps=steps)[around], PICTURE.expand_as(OTHERS)[around], atol=1e-4)


def test_guidance_raises_or_lowers_complexity():
    simple, plain, busy = (complexity(blend(0.3, g), brightness=False) for g in (-20.0, 0.0, 20.0))
    assert bool((simple < plain).all())
    assert bool((plain < busy).all())


def test_few_steps_keep_more_of_the_own_background():
    """A model of wide spread changes a little at little noise, and much at much."""
    near, far = ((blend(0.5, steps=s) - OTHERS).abs().mean().item() for s in (2, 60))
    assert near < 0.05 < far


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
