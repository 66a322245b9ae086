"""Probabilities and features of images of any size, on a model whose features are mean colours."""

from __future__ import annotations

import torch

from unshaken.core.classifier import Classifier, View
from unshaken.detect.engine.penultimate import as_seen, penultimate, predicted

IMAGES = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_features_are_mean_colours_and_predictions_the_largest(toy):
    features, labels = penultimate(toy, IMAGES, batch_size=2)
    assert features.dtype == torch.float64
    assert torch.allclose(features, IMAGES.mean((2, 3)).double(), atol=1e-6)
    assert torch.equal(labels, IMAGES.mean((2, 3)).argmax(1))


def test_probabilities_are_the_softmax_whatever_the_batches(toy):
    expected = (4 * IMAGES.mean((2, 3))).softmax(1)
    for batch_size in (2, 64):
        assert torch.allclose(predicted(toy, IMAGES, batch_size), expected, atol=1e-6)


def test_images_are_brought_to_the_size_that_a_model_takes(toy):
    viewed = Classifier(toy.net, view=View(2, 2)).eval()
    assert as_seen(IMAGES, toy) is IMAGES
    found = as_seen(IMAGES, viewed)
    assert found.shape == (5, 3, 2, 2)
    assert (float(found.min()) >= 0, float(found.max()) <= 1) == (True, True)
    assert torch.allclose(found.mean((2, 3)), IMAGES.mean((2, 3)), atol=0.1)
    assert penultimate(viewed, IMAGES)[0].shape == (5, 3)
