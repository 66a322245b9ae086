"""What diffusion models share: guidance, samples that are the same in any batch, and input that is refused."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ModelError, ParameterError
from unshaken.generate.edm import EDM

from .conftest import LabelNet


def test_guidance_by_hand():
    # the network says -1 without a class, 2 for class 2: u + w (c - u)
    model, x = EDM(LabelNet()), torch.zeros(1, 1, 4, 4)
    outputs = {w: float(model.run_network(x, torch.zeros(1), torch.tensor([2]), w)[0, 0, 0, 0]) for w in (0, 1, 2.5)}
    assert outputs == {0: -1, 1: 2, 2.5: 6.5}
    assert float(model.run_network(x, torch.zeros(1), None, 5.0)[0, 0, 0, 0]) == -1
    samples = model.sample(3, steps=3, labels=torch.tensor([0, 1, 2])).mean((1, 2, 3))
    assert samples[0] < samples[1] < samples[2]


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        ((2, 1, 8, 8), None, ModelError, r"is for images of 1x4x4 \(channels x height x width\), not 1x8x8"),
        ((2, 1, 4, 4), [0, 3], ParameterError, r"labels run from 0 to 3; the model knows 0\.\.2"),
        ((2, 1, 4, 4), [0], ParameterError, r"labels must be int64 of shape \(2,\)"),
        ((2, 1, 4, 4), [0.0, 1.0], ParameterError, "labels must be int64"),
    ],
)
def test_images_and_labels_of_another_model_are_refused(images, labels, error, message):
    with pytest.raises(error, match=message):
        EDM(LabelNet()).check(torch.zeros(images), None if labels is None else torch.tensor(labels))


def test_labels_are_refused_where_no_class_was_learned(tiny):
    with pytest.raises(ParameterError, match="was trained without classes: leave labels out"):
        EDM(tiny).check(torch.zeros(1, 1, 8, 8), torch.tensor([0]))


def test_no_images_stay_none():
    assert EDM(LabelNet()).run_network(torch.zeros(0, 1, 4, 4), torch.zeros(0), None).shape == (0, 1, 4, 4)
