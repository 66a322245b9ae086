"""Meshes rendered by rays against where rays meet a sphere and a box by formula; textures and colours by hand."""

import numpy as np
import torch
import trimesh

from unshaken.data.viewpoint.camera import camera_to_world, pixel_rays
from unshaken.data.viewpoint.distance_field import Part, box, render
from unshaken.data.viewpoint.mesh import Mesh
from unshaken.data.viewpoint.ray_renderer import RayRenderer

VIEWS = torch.tensor([[0, 0, 0, 4, 0, 0], [10, 35, 60, 3.5, 0.2, -0.1], [-20, 200, 85, 4.5, -0.3, 0.3]])
SIDE = 40


def rays():
    return pixel_rays(camera_to_world(VIEWS.double()), SIDE)


def test_a_sphere_is_where_the_quadratic_says():
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.9)
    found = RayRenderer(Mesh.plain(ball.vertices, ball.faces, (1, 0, 0))).render(VIEWS, SIDE)
    start, direction = rays()
    b, c = (start * direction).sum(-1), start.square().sum(-1) - 0.9**2
    inside = b**2 - c
    clear = inside.abs() > 1e-2
    assert torch.equal(found.depth.isfinite()[clear], (inside > 0)[clear])
    met = clear & (inside > 0)
    assert torch.allclose(found.depth[met].double(), (-b - inside.clamp(min=0).sqrt())[met], atol=1e-2)
    assert int(met.sum()) > 300


def test_a_box_is_where_its_slabs_meet_and_is_shaded_as_its_distance_field():
    half = torch.tensor([0.5, 0.8, 0.3], dtype=torch.float64)
    mesh = trimesh.creation.box(extents=2 * half.numpy())
    found = RayRenderer(Mesh.plain(mesh.vertices, mesh.faces, (0, 1, 0.5))).render(VIEWS, SIDE)
    start, direction = rays()
    one, other = (-half - start) / direction, (half - start) / direction
    enters, leaves = torch.minimum(one, other).amax(-1), torch.maximum(one, other).amin(-1)
    clear = (leaves - enters).abs() > 1e-3
    assert torch.equal(found.depth.isfinite()[clear], (leaves > enters)[clear])
    met = clear & (leaves > enters)
    assert torch.allclose(found.depth[met].double(), enters[met], atol=1e-4)
    other = render([Part(box(half.tolist()), (0, 1, 0.5))], VIEWS.double(), SIDE)
    same = (found.images - other.images).abs().amax(1) < 5e-3
    assert float(same[met].double().mean()) > 0.9  # the others lie on edges, where the distance has no normal
    assert bool((found.images.permute(0, 2, 3, 1)[clear & (leaves <= enters)] == 1).all())


def test_a_texture_lies_as_its_corners_say():
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * 0.999
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    picture = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 0]]], np.uint8).repeat(8, 0).repeat(8, 1)
    plain = Mesh.plain(corners, faces, (0, 0, 0))
    mesh = Mesh(plain.vertices, faces, plain.colours, uv[faces], np.zeros(2, np.int32), (picture,))
    image = RayRenderer(mesh).render(torch.tensor([[0, 0, 0, 4.0, 0, 0]]), 40).images[0]
    quarters = [(image[:, y, x] > 0.5).int().tolist() for y in (14, 25) for x in (14, 25)]
    assert quarters == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert image[:, 0, 0].tolist() == [1, 1, 1]


def test_a_view_is_the_same_alone_and_among_others():
    mesh = trimesh.creation.icosphere(subdivisions=2)
    renderer = RayRenderer(Mesh.plain(mesh.vertices, mesh.faces, (0.3, 0.2, 0.9)))
    assert torch.equal(renderer.render(VIEWS, 16).images[1:2], renderer.render(VIEWS[1:2], 16).images)
