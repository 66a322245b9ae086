"""Retrieval by frozen features: parts of images, copies and places, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.features.retrieval import (
    find_copies,
    locate,
    make_copies,
    predict_places,
    retrieve,
    spatial_distances,
    spatial_patches,
)
from unshaken.tasks.features.transforms import unit

FEATURES = np.random.default_rng(0).normal(size=(60, 8))
IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


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


def test_copies_of_an_image_are_found_by_its_pixels():
    images = torch.randint(0, 256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    smooth = torch.nn.functional.interpolate(images[..., :4, :4].float(), (16, 16), mode="bilinear").byte()
    flat = lambda x: x.flatten(1).numpy().astype(float) - 127  # noqa: E731
    copies = {edit: make_copies(smooth[:4], edit) for edit in ("crop", "jpeg", "blur")}
    assert all(c.shape == (4, 3, 16, 16) and not torch.equal(c, smooth[:4]) for c in copies.values())
    assert torch.equal(make_copies(smooth[:2], "crop"), copies["crop"][:2])
    names = [edit for edit in ("jpeg", "blur") for _ in range(4)]
    found = find_copies(flat(smooth), flat(torch.cat([copies["jpeg"], copies["blur"]])), [0, 1, 2, 3] * 2, names)
    assert {name: f.value for name, f in found.items()} == {"all": 1, "jpeg": 1, "blur": 1}


PLACES = [[48.8, 2.3], [48.9, 2.4], [51.5, -0.1]]


def test_a_query_is_where_its_neighbours_are():
    known = np.array([[1.0, 0.1], [0.9, 0.3], [0.0, 1.0]])
    queries = np.array([[0.0, 2.0], [1.0, 0.0]])
    assert predict_places(known, PLACES, queries).tolist() == [PLACES[2], PLACES[0]]
    assert predict_places(known, PLACES, queries, k=3).tolist() == [
        PLACES[1],
        PLACES[0],
    ]  # one cell outvotes the nearest
    found = locate(known, PLACES, queries, [[51.5, -0.1], [51.5, -0.1]])
    assert [f.value for f in found.values()] == [0.5, 0.5, 0.5, 1, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_copies(torch.zeros(1, 3, 4, 4), "crop"), "images must be uint8"),
        (lambda: make_copies(torch.zeros(1, 3, 4, 4).byte(), "crops"), "no edit 'crops'; did you mean 'crop'"),
        (lambda: find_copies(FEATURES, FEATURES[:2, :3], [0, 1], ["a", "a"]), "those of the database 8"),
        (lambda: predict_places(FEATURES[:3], [[200, 0]] * 3, FEATURES), "latitude must lie.*such as 200"),
        (lambda: predict_places(FEATURES[:3], PLACES[:2], FEATURES), "do not fit"),
        (lambda: predict_places(FEATURES[:3], PLACES, FEATURES, k=4), "k must lie in 1 to 3"),
        (lambda: locate(FEATURES[:3], PLACES, FEATURES[:2], PLACES), r"true places must be \[2, 2\]"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((DataError, ParameterError), match=message):
        call()


def test_copies_are_of_seed_0_unless_told_otherwise():
    images = torch.randint(256, (4, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(make_copies(images, "crop"), make_copies(images, "crop", seed=0))
    assert not torch.equal(make_copies(images, "crop"), make_copies(images, "crop", seed=1))
