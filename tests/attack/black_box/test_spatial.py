"""Spatial: transformations exact by hand, the grid against a plain loop, and the least margin kept."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.attack import Spatial
from unshaken.attack.black_box.spatial import grid, moved
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.errors import ParameterError


def turned(images, degrees, down=0.0, right=0.0, **options):
    n = len(images)
    return moved(images, torch.full((n,), degrees), torch.tensor([[down, right]]).expand(n, 2), **options)


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 7, 12), (1, 1, 5)])
def test_no_turn_and_no_shift_is_the_identity_to_the_bit(make, shape, padding):
    images = make.images(3, *shape)
    assert torch.equal(turned(images, 0.0, padding=padding), images)


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize(("degrees", "quarters"), [(90.0, 1), (180.0, 2), (-90.0, 3)])
def test_right_angles_equal_rot90_to_the_bit(make, side, degrees, quarters):
    images = make.images(2, 3, side, side)
    assert torch.equal(turned(images, degrees), torch.rot90(images, quarters, (2, 3)))


@pytest.mark.parametrize(("down", "right"), [(2, 0), (0, 3), (-1, 2), (-4, -1)])
def test_whole_shifts_equal_a_shifted_copy(make, down, right):
    images = make.images(2, 1, 6, 9)
    expected, border = torch.zeros_like(images), torch.zeros_like(images)
    for i in range(6):
        for j in range(9):
            inside = 0 <= i - down < 6 and 0 <= j - right < 9
            expected[..., i, j] = images[..., i - down, j - right] if inside else 0
            border[..., i, j] = images[..., min(max(i - down, 0), 5), min(max(j - right, 0), 8)]
    assert torch.equal(turned(images, 0.0, float(down), float(right)), expected)
    assert torch.equal(turned(images, 0.0, float(down), float(right), padding="border"), border)


def test_half_a_pixel_is_the_mean_of_two():
    image = torch.tensor([0.2, 0.6, 1.0]).view(1, 1, 1, 3)
    assert turned(image, 0.0, 0.0, 0.5).flatten().tolist() == pytest.approx([0.1, 0.4, 0.8])
    assert turned(image, 0.0, 0.0, -0.5, padding="border").flatten().tolist() == pytest.approx([0.4, 0.8, 1.0])


@pytest.mark.parametrize(("padding", "mode"), [("zeros", "zeros"), ("border", "border")])
@pytest.mark.parametrize("degrees", [-30.0, 7.0, 133.0])
def test_other_angles_agree_with_grid_sample(make, degrees, padding, mode):
    """torch's own sampler, on the same pixel grid (align_corners), to its rounding."""
    images = make.images(3, 2, 11, 11)
    angle = math.radians(degrees)
    theta = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    theta[:, 2] = theta[:, :2] @ torch.tensor(
        [-2 * 1.5 / 10, 2 * 0.7 / 10]
    )  # right 1.5 and up 0.7 pixels, undone first
    places = F.affine_grid(theta.expand(3, 2, 3), list(images.shape), align_corners=True)
    expected = F.grid_sample(images, places, padding_mode=mode, align_corners=True)
    assert torch.allclose(turned(images, degrees, -0.7, 1.5, padding=padding), expected, atol=1e-5)


def test_the_default_grid_is_the_published_one():
    kinds = grid(30.0, 0.1, 31, 5)
    assert len(kinds) == len(set(kinds)) == 31 * 5 * 5 - 1
    assert sorted({k[0] for k in kinds}) == pytest.approx([float(a) for a in range(-30, 31, 2)])
    assert sorted({k[1] for k in kinds}) == sorted({k[2] for k in kinds}) == pytest.approx([-0.1, -0.05, 0, 0.05, 0.1])
    assert (0.0, 0.0, 0.0) not in kinds
    assert kinds[0] in {(a, y, x) for a in (-30.0, 30.0) for y in (-0.1, 0.1) for x in (-0.1, 0.1)}


class Corner(nn.Module):
    """Two classes: class 0 as long as the top left pixel is brighter than a threshold."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        m = x[:, 0, 0, 0] - self.threshold
        return torch.stack([m, -m], 1)


def corner_batch():
    """Images of one bright pixel in the corner, 0.9, and 0.3 elsewhere."""
    images = torch.full((2, 1, 10, 10), 0.3)
    images[:, :, 0, 0] = 0.9
    return Batch(images, torch.zeros(2, dtype=torch.int64), ("a", "b"))


def test_a_shift_alone_is_found_and_the_image_is_the_shifted_one():
    model = Classifier(Corner(0.2), name="corner").eval()
    (got,), _ = Spatial(rotation=0, translation=0.1, shifts=3).attack(Oracle(model), corner_batch())
    assert bool(got.fooled.all())
    assert got.forwards.tolist() == [4, 4]  # the first two of the grid, a confirmation, and the look after 8 bits
    assert torch.equal(got.images[0, 0, 1:, 1:], torch.full((9, 9), 0.3)) or float(got.images[0, 0, 0, 0]) == 0


def test_a_survivor_ends_at_the_least_margin_and_costs_the_grid():
    """Down or right brings black in, up or left 0.3: the corner is 0 at the best, above a threshold below 0."""
    model = Classifier(Corner(-0.1), name="corner").eval()
    attack = Spatial(rotation=0, translation=0.1, shifts=3)
    (got,), _ = attack.attack(Oracle(model), corner_batch())
    assert got.fooled.tolist() == [False, False]
    assert got.images[:, 0, 0, 0].tolist() == [0.0, 0.0]
    assert attack.cost(2) == (8, 0)
    assert got.forwards.tolist() == [9, 9]


def test_no_transformation_at_all_is_the_clean_image():
    model = Classifier(Corner(0.2), name="corner").eval()
    attack = Spatial(rotation=0, translation=0)
    (got,), _ = attack.attack(Oracle(model), corner_batch())
    assert got.fooled.tolist() == [False, False]
    assert torch.equal(got.images, corner_batch().images)
    assert attack.cost(2) == (0, 0)


@pytest.mark.parametrize("targeted", [False, True])
def test_fools_whom_a_plain_loop_over_the_grid_fools(make, targeted):
    net = make.net(classes=3, channels=3, seed=3)
    images = make.images(12, 3, 9, 9)
    images[:, :, :, :4] *= 0.3
    batch = make.batch(net, images)
    targets = (batch.labels + 1) % 3 if targeted else None
    attack = Spatial(angles=5, shifts=3, rotation=60, translation=0.4)
    (got,), _ = attack.attack(Oracle(net, limit=5), batch, targets=targets)
    expected = torch.zeros(12, dtype=torch.bool)
    with torch.no_grad():
        for angle in (-60.0, -30.0, 0.0, 30.0, 60.0):
            for down in (-3.6, 0.0, 3.6):
                for right in (-3.6, 0.0, 3.6):
                    label = net(turned(images, angle, down, right)).argmax(1)
                    expected |= label != batch.labels if targets is None else label == targets
    assert torch.equal(got.fooled, expected)
    assert 0 < int(expected.sum()) < 12
    assert torch.equal(got.forwards[~expected], torch.full((int((~expected).sum()),), 5 * 9))  # 44 and the last look


def test_random_draws_stay_within_the_bounds_and_differ_between_samples_and_steps(make):
    class Flat(nn.Module):
        """Never fooled; keeps what it sees."""

        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x):
            self.seen.append(x.clone())
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    flat = Flat()
    batch = Batch(
        make.images(1, 1, 12, 12).expand(3, 1, 12, 12).clone(), torch.zeros(3, dtype=torch.int64), tuple("abc")
    )
    attack = Spatial(search="random", draws=4, rotation=0, translation=0.25, padding="border")
    attack.attack(Oracle(Classifier(flat, name="flat").eval()), batch, seed=3)
    asked = torch.cat([x for x in flat.seen if len(x) == 3][1:5])
    assert len({tuple(x.flatten().tolist()) for x in asked}) == 12
    assert attack.cost(2) == (4, 0)


def test_more_random_draws_fool_no_fewer(make):
    net = make.net(classes=3, channels=3, seed=3)
    images = make.images(16, 3, 9, 9)
    images[:, :, :, :4] *= 0.3
    batch = make.batch(net, images)
    few, many = (
        Spatial(search="random", draws=k, rotation=60, translation=0.4).attack(Oracle(net), batch)[0][0].fooled
        for k in (1, 12)
    )
    assert bool((few <= many).all())
    assert int(few.sum()) < int(many.sum())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rotation": -1}, "rotation=-1"),
        ({"translation": 1.5}, "translation=1.5"),
        ({"search": "best"}, "search='best'"),
        ({"padding": "reflect"}, "padding='reflect'"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^spatial: {words}"):
        Spatial(**values)


def test_eps_is_refused(make):
    net = make.net()
    with pytest.raises(ParameterError, match="spatial: has no eps"):
        Spatial().attack(Oracle(net), make.batch(net, make.images(2, 1, 8, 8)), eps=[0.1])
