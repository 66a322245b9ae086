"""Shading of surfaces whose normals are known: a wall, a wall that is turned, a sphere around the camera."""

import math

import pytest
import torch

from unshaken.stress.common_3d.flash import flash, shading


def rays(size):
    place = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / size
    return place[:, None].expand(size, size), place[None].expand(size, size)


def test_a_wall_is_seen_at_the_angle_of_the_ray():
    y, x = rays(15)
    assert torch.allclose(shading(torch.full((15, 15), 0.7, dtype=torch.float64)), 1 / torch.sqrt(x**2 + y**2 + 1))


def test_a_sphere_around_the_camera_faces_it_everywhere():
    y, x = rays(65)
    inside = shading(0.5 / torch.sqrt(x**2 + y**2 + 1))[1:-1, 1:-1]
    assert float(inside.min()) > 0.999


def test_a_wall_turned_by_45_degrees():
    y, x = rays(65)
    depth = 1 / (1 - x)  # the points of z = 1 + x_world: normal (1, 0, -1) / sqrt(2)
    expected = (1 - x).abs() / (math.sqrt(2) * torch.sqrt(x**2 + y**2 + 1))
    assert torch.allclose(shading(depth)[1:-1, 1:-1], expected[1:-1, 1:-1], atol=2e-3)


def test_light_is_added_in_proportion():
    image = torch.tensor([[[0.2, 0.4]]], dtype=torch.float64)
    found = flash(image, torch.tensor([[0.0, 0.6]], dtype=torch.float64), 2.4)
    assert found[0, 0].tolist() == pytest.approx([0.2, 0.5])
