"""The sixteen views: counts, places, and limiting cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.explain.engine.layer_features import layer_features
from unshaken.tasks.features import views
from unshaken.tasks.features.views import augmented_features, crop_places, rotated, sixteen_views

IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_there_are_sixteen_and_half_are_mirror_images():
    found = sixteen_views(IMAGES)
    assert found.shape == (2, 16, 3, 12, 12)
    assert torch.equal(found[:, 0], IMAGES)
    assert torch.equal(found[:, 8:], found[:, :8].flip(-1))
    assert sixteen_views((IMAGES * 255).byte()).dtype == torch.uint8


def test_crops_are_two_thirds_of_each_side():
    assert crop_places(300) == (200, (0, 100, 50))
    ramp = torch.arange(12.0).expand(1, 1, 12, 12)
    crops = sixteen_views(ramp)[0, 1:6, 0, 6]
    np.testing.assert_allclose(crops.mean(1), [3.5, 7.5, 3.5, 7.5, 5.5], atol=1e-5)  # columns 0-7, 4-11, 2-9


def test_rotations():
    torch.testing.assert_close(rotated(IMAGES, 90), torch.rot90(IMAGES, 1, (2, 3)), rtol=0, atol=1e-4)
    torch.testing.assert_close(sixteen_views(IMAGES, angle=0)[:, 6], IMAGES)
    with pytest.raises(ParameterError, match="angle"):
        sixteen_views(IMAGES, angle=91)


def test_features_of_views_come_by_image():
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(432, 4)))
    images = (IMAGES * 255).byte()
    found = augmented_features(model, images, "1", cache=False)
    assert found.shape == (2, 16, 4)
    with torch.no_grad():
        torch.testing.assert_close(found[1, 0], model(images[1:] / 255)[0])


def test_views_of_many_images_are_never_made_at_once(monkeypatch):
    made, real = [], sixteen_views
    monkeypatch.setattr(views, "sixteen_views", lambda part, **options: made.append(len(part)) or real(part, **options))
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 4)))
    images = torch.randint(0, 256, (70, 3, 4, 4), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    found = augmented_features(model, images, "1", cache=False)
    assert max(made) <= 16
    whole = layer_features(model, real(images).flatten(0, 1), ["1"], cache=False)["1"].view(70, 16, 4)
    assert torch.equal(found, whole)  # the same batches
    with pytest.raises(DataError, match="no image"):
        augmented_features(model, images[:0], "1", cache=False)
