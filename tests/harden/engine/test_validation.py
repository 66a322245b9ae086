"""The figure that a repair is to improve: mean accuracy over weaknesses, by hand."""

from __future__ import annotations

import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.run.plan import load_plan
from unshaken.run.repair import Validation


class ByBrightness(Classifier):
    """Class 1 where an image's mean is above 1/2."""

    def __init__(self):
        super().__init__(torch.nn.Flatten())

    def forward(self, images):
        z = images.mean((1, 2, 3)) - 0.5
        return torch.stack([-z, z], 1)


HELD = Batch(
    torch.tensor([0.1, 0.48, 0.7, 0.9]).view(4, 1, 1, 1).expand(4, 3, 8, 8).clone(),
    torch.tensor([0, 0, 1, 1]),
    tuple("abcd"),
)
FGSM = [{"method": "fgsm", "norm": "linf", "eps": [0.05, 0.25]}]


def figure(*weaknesses, images=4):
    return Validation(tuple(load_plan(FGSM)), weaknesses, 0, images)(ByBrightness().eval(), HELD)


def test_conditions_of_a_weakness_are_averaged_then_weaknesses():
    """0.05 breaks the second image alone, 0.25 the third as well."""
    small, large = "fgsm-linf-0.05", "fgsm-linf-0.25"
    assert figure((small,)) == 0.75
    assert figure((small, large)) == (0.75 + 0.5) / 2
    assert figure((small, large), (large,)) == ((0.75 + 0.5) / 2 + 0.5) / 2


def test_a_weakness_without_conditions_is_the_worst_class():
    held = HELD.with_images(HELD.images.index_fill(0, torch.tensor([1]), 0.6))
    assert Validation((), ((),), 0, 4)(ByBrightness().eval(), held) == 0.5


def test_so_many_held_out_images_at_most():
    assert figure(("fgsm-linf-0.05",), images=1) == 1
