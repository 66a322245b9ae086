"""Each image gets one corruption that is named, or stays clean."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.recipes.augmentation.corruptions import Corruptions, corrupted
from unshaken.stress.corruptions.contrast import Contrast
from unshaken.stress.corruptions.gaussian_blur import GaussianBlur


@pytest.fixture
def images():
    return torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_each_image_is_what_the_room_of_stress_makes_of_it(images):
    stressors = [Contrast(), GaussianBlur()]
    chosen = torch.arange(64) % 3 - 1
    rng = SampleRng.of(0, "t", [str(i) for i in range(64)])
    before = images.clone()
    found = corrupted(images, stressors, chosen, torch.full((64,), 3), rng)
    batch = Batch(images, None, tuple(map(str, range(64))))
    wanted = [images, *(s.apply(batch, 3).images for s in stressors)]
    for i, place in enumerate(chosen.tolist()):
        assert torch.equal(found[i], wanted[place + 1][i])
    assert torch.equal(images, before)


def test_shares_and_severities(images, net, step_of):
    step = step_of(net(channels=3), images.repeat(16, 1, 1, 1), torch.zeros(1024, dtype=torch.int64))
    before = step.images
    Corruptions(names="contrast+gaussian_blur", severities="5", clean=0.25).augment(step)
    clean = (step.images == before).flatten(1).all(1).double().mean()
    assert 0.2 < float(clean) < 0.3
    flat = before.flatten(2).std(2).mean(1) / step.images.flatten(2).std(2).mean(1)
    contrast = (flat - 1 / 0.15).abs() < 1.0  # severity 5 of small images leaves 0.15 of the contrast
    assert 0.3 < float(contrast.double().mean()) < 0.45
    again = step_of(net(channels=3), before, step.labels)
    Corruptions(names="contrast+gaussian_blur", severities="5", clean=0.25).augment(again)
    assert torch.equal(again.images, step.images)


def test_all_are_the_fifteen():
    names = {s.info.name for s in Corruptions().stressors()}
    assert len(names) == 15
    assert not names & {"gaussian_blur", "saturate", "spatter", "speckle_noise", "translation"}
    assert {s.preset for s in Corruptions(preset="tiny").stressors()} == {"tiny"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"names": "fogg"}, "did you mean 'fog'"),
        ({"names": "translation"}, "no common corruption"),
        ({"severities": "0"}, "severities=0: "),
        ({"severities": ""}, "at least 1 item"),
        ({"clean": 1.5}, "less than or equal to 1"),
    ],
)
def test_bad_parameters(given, words):
    with pytest.raises(ParameterError, match=words):
        Corruptions(**given)
