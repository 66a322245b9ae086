"""The sixteen views and the parts of spatial search: counts, places, and limiting cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.models.layer_features import layer_features
from unshaken.tasks.features import views
from unshaken.tasks.features.retrieval import retrieve, spatial_distances, spatial_patches
from unshaken.tasks.features.transforms import unit
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


@pytest.mark.parametrize(("levels", "count"), [(1, 1), (3, 14), (4, 30)])
def test_parts_of_each_level_cover_the_image(levels, count):
    ramp = torch.arange(24.0).expand(1, 1, 24, 24)
    parts = spatial_patches(ramp, levels)
    assert parts.shape == (1, count, 1, 24, 24)
    assert torch.equal(parts[0, 0, 0], ramp[0, 0])
    last = parts[0, -(levels**2) :, 0].flatten()
    assert (float(last.min()), float(last.max())) == pytest.approx((0, 23), abs=1e-4)


def test_one_part_each_is_the_distance_of_whole_images():
    rng = np.random.default_rng(0)
    q, r = unit(rng.normal(size=(3, 5))), unit(rng.normal(size=(4, 5)))
    plain = np.linalg.norm(q[:, None] - r, axis=2)
    np.testing.assert_allclose(spatial_distances(q, r), plain)
    np.testing.assert_allclose(spatial_distances(q[:, None], r[:, None]), plain)


def test_a_query_is_at_no_distance_from_itself_where_its_parts_are_among_the_references():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 30, 5))
    distances = spatial_distances(features[:, :14], features)
    np.testing.assert_allclose(np.diag(distances), 0, atol=1e-6)
    assert retrieve(distances, 1)[:, 0].tolist() == [0, 1, 2]


def test_the_distance_is_a_mean_of_least_distances():
    q, r = np.array([[[0.0], [10.0]]]), np.array([[[1.0], [4.0]]])
    assert spatial_distances(q, r).item() == (1 + 6) / 2


def test_parts_of_what_is_not_square_are_refused():
    with pytest.raises(DataError, match="square"):
        spatial_patches(IMAGES[..., :6], 2)
    with pytest.raises(ParameterError, match="levels"):
        spatial_patches(IMAGES, 0)
