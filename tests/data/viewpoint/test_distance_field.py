"""Rendered spheres and boxes against where rays meet them by formula; shading and colours by hand."""

import pytest
import torch

from unshaken.data.viewpoint.camera import camera_to_world, pixel_rays
from unshaken.data.viewpoint.distance_field import Part, box, render, sphere

VIEWS = torch.tensor(
    [[0, 0, 0, 4, 0, 0], [10, 35, 60, 3.5, 0.2, -0.1], [-20, 200, 85, 4.5, -0.3, 0.3]], dtype=torch.float64
)
SIDE = 40


def rays():
    return pixel_rays(camera_to_world(VIEWS), SIDE)


def test_a_sphere_is_where_the_quadratic_says():
    start, direction = rays()
    b, c = (start * direction).sum(-1), start.square().sum(-1) - 0.9**2
    inside = b**2 - c
    found = render([Part(sphere(0.9), (1, 0, 0))], VIEWS, SIDE).depth
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
    found = render([Part(box(half.tolist()), (0, 1, 0))], VIEWS, SIDE).depth
    clear = (leaves - enters).abs() > 2e-2
    assert torch.equal(found.isfinite()[clear], (leaves > enters)[clear])
    met = clear & (leaves > enters)
    assert torch.allclose(found[met], enters[met], atol=5e-3)
    assert int(met.sum()) > 300


def test_what_faces_the_camera_is_bright_and_the_nearer_part_is_seen():
    parts = [Part(sphere(0.5), (1, 0, 0)), Part(box((0.2, 0.2, 0.2), (0, 0, 1)), (0, 0.5, 1))]
    view = render(parts, VIEWS[:1], 41)
    assert view.images[0, :, 20, 20].tolist() == pytest.approx([0, 0.5, 1], abs=1e-3)
    assert float(view.depth[0, 20, 20]) == pytest.approx(4 - 1.2, abs=1e-3)
    assert view.images[0, :, 0, 0].tolist() == [1, 1, 1]
    rim = render(parts[:1], VIEWS[:1], 41).images[0, 0]
    assert float(rim[20, 20]) == pytest.approx(1, abs=1e-3)
    assert float(rim[20, 20]) > float(rim[20, 24]) > float(rim[20, 25])
