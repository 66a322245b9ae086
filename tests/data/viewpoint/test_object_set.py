"""The camera's pose at views that are known by hand, the box and its inverse, and the rays of its pixels."""

import math

import pytest
import torch

from unshaken.data.viewpoint.object_set import ViewBox, camera_to_world, pixel_rays


def pose(**given):
    names = ("psi", "theta", "phi", "r", "dx", "dy")
    return camera_to_world(torch.tensor([[float(given.get(name, 0)) for name in names]], dtype=torch.float64))[0]


def looks(found):
    return (-found[:3, 2]).tolist()


@pytest.mark.parametrize(
    ("view", "place", "direction"),
    [
        ({"r": 4}, [0, 0, 4], [0, 0, -1]),
        ({"r": 4, "phi": 90}, [0, -4, 0], [0, 1, 0]),
        ({"r": 2, "phi": 90, "theta": 90}, [2, 0, 0], [-1, 0, 0]),
        ({"r": 3, "dx": 0.5, "dy": -0.25}, [0.5, -0.25, 3], [0, 0, -1]),
        ({"r": 1, "psi": 30}, [-0.5, 0, math.sqrt(0.75)], [0.5, 0, -math.sqrt(0.75)]),
    ],
    ids=["above", "horizontal", "around", "shifted", "tilted"],
)
def test_poses_by_hand(view, place, direction):
    found = pose(**view)
    assert found[:3, 3].tolist() == pytest.approx(place, abs=1e-12)
    assert looks(found) == pytest.approx(direction, abs=1e-12)
    assert torch.allclose(found[:3, :3] @ found[:3, :3].T, torch.eye(3, dtype=torch.float64))


def test_up_has_the_height_sin_phi():
    assert float(pose(phi=70)[2, 1]) == pytest.approx(math.sin(math.radians(70)))
    assert float(pose(phi=-70)[2, 1]) < 0  # the picture is upside down


def test_views_stay_in_the_box():
    box = ViewBox()
    u = torch.randn(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    views = box.view(u)
    assert bool(((views - torch.tensor(box.b)).abs() < torch.tensor(box.a)).all())
    assert torch.allclose(box.unbounded(views), u, atol=1e-5)
    assert box.view(torch.zeros(6)).tolist() == [0, 0, 0, 4, 0, 0]


def test_rays_of_a_picture():
    start, direction = pixel_rays(pose(r=4)[None], 3, 90.0)
    assert start[0, 0, 2].tolist() == [0, 0, 4]
    assert direction[0, 1, 1].tolist() == pytest.approx([0, 0, -1])
    corner = [-2 / 3, 2 / 3, -1]  # upper left
    assert direction[0, 0, 0].tolist() == pytest.approx([x / math.sqrt(17 / 9) for x in corner])
