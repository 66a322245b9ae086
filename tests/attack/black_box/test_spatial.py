"""Spatial: transformations exact by hand, the grid against a plain loop, and the least margin kept."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.attack.black_box.spatial import Spatial, grid, moved
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


def test_the_grid_falls_in_size():
    sizes = [abs(a) / 30 + (abs(y) + abs(x)) / 0.1 for a, y, x in grid(30.0, 0.1, 31, 5)]
    assert all(before >= after - 1e-9 for before, after in itertools.pairwise(sizes))
    assert sizes[0] == pytest.approx(3)
    assert sizes[-1] == pytest.approx(1 / 15)
    assert grid(0.0, 0.2, 31, 3)[0] == (0.0, -0.2, -0.2)
    assert len(grid(0.0, 0.2, 31, 3)) == 8
    assert grid(30.0, 0.1, 1, 1) == ()


def test_what_is_moved_out_of_the_image_is_black_or_the_border(make):
    images = make.images(2, 3, 5, 6)
    for down, right in ((100.0, 0.0), (-100.0, 0.0), (0.0, 100.0), (0.0, -100.0)):
        assert not turned(images, 0.0, down, right).any()
        edge = turned(images, 0.0, down, right, padding="border")
        expected = {100.0: images[:, :, :1], -100.0: images[:, :, -1:]}.get(down)
        if expected is None:
            expected = images[..., :1] if right > 0 else images[..., -1:]
        assert torch.allclose(edge, expected.expand_as(images), atol=1e-6)


def test_where_nothing_lowers_the_margin_the_image_stays():
    """A black corner: every shift brings black or 0.3 there."""
    images = torch.full((1, 1, 10, 10), 0.3)
    images[:, :, 0, 0] = 0
    batch = Batch(images, torch.zeros(1, dtype=torch.int64), ("a",))
    for options in ({"rotation": 0, "translation": 0.1, "shifts": 3}, {"search": "random", "draws": 3}):
        (got,), _ = Spatial(**options).attack(Oracle(Classifier(Corner(-0.1), name="corner").eval()), batch)
        assert torch.equal(got.images, images)


class Watching(nn.Module):
    """Never fooled; keeps the places of what is bright."""

    def __init__(self, side):
        super().__init__()
        self.side, self.seen = side, []

    def forward(self, x):
        line = torch.arange(self.side) - (self.side - 1) / 2
        mass = x[:, 0].sum((1, 2))
        self.seen += torch.stack([(x[:, 0].sum(2) @ line) / mass, (x[:, 0].sum(1) @ line) / mass], 1).tolist()
        return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)


def watched(place, **options):
    """Where a dot `place` pixels right of the centre is moved to by 200 draws, `[200, 2]`, down and right."""
    images = torch.zeros(1, 1, 21, 21)
    images[0, 0, 10, 10 + place] = 1
    net = Watching(21)
    attack = Spatial(search="random", draws=200, **options)
    batch = Batch(images, torch.zeros(1, dtype=torch.int64), ("a",))
    attack.attack(Oracle(Classifier(net, name="watching").eval()), batch, clean=torch.tensor([[1.0, 0.0]]))
    return torch.tensor(net.seen[:200])


def test_random_shifts_fill_their_range_either_way():
    found = watched(0, rotation=0, translation=0.25)
    assert float(found.abs().max()) <= 0.25 * 21 + 1e-4
    assert bool((found.amin(0) < -4.5).all())
    assert bool((found.amax(0) > 4.5).all())


def test_random_turns_fill_their_range_either_way():
    found = watched(8, rotation=40, translation=0)
    angle = torch.rad2deg(torch.atan2(-found[:, 0], found[:, 1]))  # counter-clockwise
    assert float(angle.abs().max()) <= 41
    assert float(angle.min()) < -35
    assert float(angle.max()) > 35
