"""A background that misleads a model: its answer moves away from the class, with diffusion and without; a flag else."""

import pytest
import torch
from torch import nn

from tests.stress.attributes.test_background_complexity import MASKS, OTHERS, PICTURE, RNG, OnePicture
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.generate import DDPM
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.stress.attributes.background_adversarial import BackgroundAdversarial
from unshaken.stress.attributes.background_complexity import BackgroundComplexity, blend_by_diffusion
from unshaken.stress.engine.complexity import lead_away


class Reds(nn.Module):
    """Two classes: whether red is strong; it looks at the mean."""

    def forward(self, x):
        red = x[:, :1].mean((2, 3))
        return torch.cat([8 * red, 8 * (1 - red)], 1)


NET = Classifier(Reds()).eval()


def doubt(images, originals):
    """How much less probable the class of each original is."""
    with torch.no_grad():
        classes = NET(originals).argmax(1, keepdim=True)
        before, after = (NET(x).softmax(1).gather(1, classes) for x in (originals, images))
    return (before - after).mean().item()


def test_without_a_generator_steps_mislead(keeps_the_object, pictures):
    plain = keeps_the_object(BackgroundAdversarial(), 2)
    assert torch.equal(plain, keeps_the_object(BackgroundComplexity(), 2))
    misled = keeps_the_object(BackgroundAdversarial().with_misled(NET), 2)
    assert doubt(misled, pictures.images) > doubt(plain, pictures.images) + 0.005


def test_with_diffusion_the_mean_of_each_step_misleads():
    model = DDPM(OnePicture(PICTURE, 0.3)).eval()

    def blend(push):
        return blend_by_diffusion(model, OTHERS, OTHERS, MASKS, RNG, steps=25, guidance=20.0, push=push)

    away = lead_away(NET, OTHERS)
    plain, misled, far = blend(None), blend(lambda z: 10 * away(z)), blend(lambda z: 100 * away(z))
    assert doubt(plain, OTHERS) < doubt(misled, OTHERS) < doubt(far, OTHERS)


def test_a_sample_is_made_as_alone_and_only_the_named_model_decides(pictures, masks):
    edit = BackgroundAdversarial(steps=3).with_masks(masks).with_misled(NET)
    assert torch.equal(edit.apply(pictures, 1).images[1:2], edit.apply(pictures[1:2], 1).images)
    assert BackgroundAdversarial(misled="demo:robust").further_models == ("demo:robust",)


@pytest.mark.parametrize(("edit", "names"), [(BackgroundAdversarial(steps=1), ["no-guide"]), (None, [])])
def test_a_flag_says_that_no_model_is_named(pictures, masks, edit, names):
    edit = edit or BackgroundAdversarial(steps=1).with_misled(NET)
    oracle = Oracle(NET)
    batch = Batch(pictures.images, torch.zeros(3, dtype=torch.int64), pictures.ids)
    method = edit.with_masks(masks)
    conditions = conditions_of(method, Line("x", severities=(2,)))
    parts = rows_of(method, batch, conditions, Context(oracle, 1, oracle.exact(batch.images)))
    assert [flag.name for part in parts for flag in part.flags] == names
