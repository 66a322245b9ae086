"""Blending by diffusion: a model of one picture paints it around the object; guidance has the right sign."""

import math

import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.generate.ddpm import DDPM
from unshaken.generate.generator import NoiseNet
from unshaken.stress.engine.background_diffusion import blend_by_diffusion
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
