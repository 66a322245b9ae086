"""`solids:N`: other objects in each split, the same whenever they are made, drawn as their distances say."""

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.viewpoint.object_set import camera_to_world, pixel_rays
from unshaken.data.viewpoint.solids import CLASSES, Part, box, cylinder, render, sample_surface, sphere, splat, torus

VIEWS = torch.tensor([[0, 0, 70, 4, 0, 0], [5, 120, 30, 3.5, 0.1, -0.1]])


def test_distances_by_hand():
    points = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 0, 3], [2, 0, 3]])
    assert cylinder(1, 2)(points).tolist() == pytest.approx([-1, 1, 1, 2**0.5])
    assert torus(1, 0.25, axis=2)(points).tolist() == pytest.approx([0.75, 0.75, 10**0.5 - 0.25, 10**0.5 - 0.25])


def test_a_cloud_of_points_looks_as_the_object():
    parts = [Part(sphere(0.6), (0.9, 0.1, 0.2)), Part(box((0.9, 0.2, 0.2)), (0.1, 0.3, 0.8))]
    surface = sample_surface(parts, 4000, torch.Generator().manual_seed(0))
    distance = torch.stack([part.field(surface.points) for part in parts]).amin(0)
    assert float(distance.abs().max()) < 5e-3
    assert torch.allclose(surface.normals.norm(dim=1), torch.ones(4000), atol=1e-4)
    cloud, exact = splat(surface, VIEWS, 32), render(parts, VIEWS, 32)
    assert float((cloud.depth.isfinite() == exact.depth.isfinite()).float().mean()) > 0.95  # the rim differs
    both = cloud.depth.isfinite() & exact.depth.isfinite()
    assert float((cloud.depth - exact.depth)[both].abs().median()) < 0.05
    assert float((cloud.images - exact.images).abs().mean()) < 0.03


def test_pictures_of_several_objects_are_those_of_each():
    data = load_data("solids:2?size=24&mode=L")
    together = data.images_each([3, 9], VIEWS)
    assert together.shape == (2, 1, 24, 24)
    each = torch.cat([data.images(i, VIEWS[j, None]) for j, i in enumerate((3, 9))])
    assert float((together - each).abs().max()) <= 1 / 255 + 1e-6  # sums in another order


def test_splits_hold_other_objects_and_a_seed_decides_them():
    train, again = load_data("solids:2"), load_data("solids:2?split=train")
    test, other = load_data("solids:2?split=test"), load_data("solids:2:1")
    assert len(train) == 2 * len(CLASSES)
    assert train.ids[:3] == ("bottle/train-000", "bottle/train-001", "car/train-000")
    assert not set(train.ids) & set(test.ids)
    pictures = [torch.tensor(d.read(3)) for d in (train, again, test, other)]
    assert pictures[0].shape == (32, 32, 3)
    assert torch.equal(pictures[0], pictures[1])
    assert all(not torch.equal(pictures[0], p) for p in pictures[2:])
    assert train.fingerprint != other.fingerprint


@pytest.mark.parametrize("spec", ["solids:0", "solids:x", "solids:2:-1", "solids:2?split=val", "solids:2?size=400"])
def test_a_wrong_spec_is_refused(spec):
    with pytest.raises(DataError, match=r"solids:N or solids:N:SEED|must be train or test|points leave holes"):
        load_data(spec)


RAY_VIEWS = torch.tensor(
    [[0, 0, 0, 4, 0, 0], [10, 35, 60, 3.5, 0.2, -0.1], [-20, 200, 85, 4.5, -0.3, 0.3]], dtype=torch.float64
)
SIDE = 40


def rays():
    return pixel_rays(camera_to_world(RAY_VIEWS), SIDE)


def test_a_sphere_is_where_the_quadratic_says():
    start, direction = rays()
    b, c = (start * direction).sum(-1), start.square().sum(-1) - 0.9**2
    inside = b**2 - c
    found = render([Part(sphere(0.9), (1, 0, 0))], RAY_VIEWS, SIDE).depth
    clear = inside.abs() > 2e-3  # rays that graze it are met or not by the tolerance
    assert torch.equal(found.isfinite()[clear], (inside > 0)[clear])
    met = clear & (inside > 0)
    assert torch.allclose(found[met], (-b - inside.clamp(min=0).sqrt())[met], atol=5e-3)
    assert int(met.sum()) > 300


def test_a_box_is_where_its_slabs_meet():
    start, direction = rays()
    half = torch.tensor([0.5, 0.8, 0.3], dtype=torch.float64)
    one, other = (-half - start) / direction, (half - start) / direction
    enters, leaves = torch.minimum(one, other).amax(-1), torch.maximum(one, other).amin(-1)
    found = render([Part(box(half.tolist()), (0, 1, 0))], RAY_VIEWS, SIDE).depth
    clear = (leaves - enters).abs() > 2e-2
    assert torch.equal(found.isfinite()[clear], (leaves > enters)[clear])
    met = clear & (leaves > enters)
    assert torch.allclose(found[met], enters[met], atol=5e-3)
    assert int(met.sum()) > 300


def test_what_faces_the_camera_is_bright_and_the_nearer_part_is_seen():
    parts = [Part(sphere(0.5), (1, 0, 0)), Part(box((0.2, 0.2, 0.2), (0, 0, 1)), (0, 0.5, 1))]
    view = render(parts, RAY_VIEWS[:1], 41)
    assert view.images[0, :, 20, 20].tolist() == pytest.approx([0, 0.5, 1], abs=1e-3)
    assert float(view.depth[0, 20, 20]) == pytest.approx(4 - 1.2, abs=1e-3)
    assert view.images[0, :, 0, 0].tolist() == [1, 1, 1]
    rim = render(parts[:1], RAY_VIEWS[:1], 41).images[0, 0]
    assert float(rim[20, 20]) == pytest.approx(1, abs=1e-3)
    assert float(rim[20, 20]) > float(rim[20, 24]) > float(rim[20, 25])
