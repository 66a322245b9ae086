"""A texture that repeats, read by hand; it has seams afterwards, and classes of pixels move with it."""

import math

import pytest
import torch

from unshaken.core import Batch
from unshaken.data.textures import FAMILIES, make_plane
from unshaken.explain.textures.seams import seam_fault
from unshaken.stress.textures.untile import KINDS, Untile, change, read_repeating

EYE = torch.eye(2, dtype=torch.float64)


def textures(side=64):
    made = [make_plane(family, side, 3) for family in FAMILIES]
    images = torch.stack([torch.from_numpy(one)[None] for one in made])
    return Batch(images, None, tuple(FAMILIES))


def test_the_identity_is_a_roll_and_a_quarter_turn_turns():
    image = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read_repeating(image, EYE, torch.tensor([2.0, 1.0])), image.roll((-2, -1), (1, 2)))
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert torch.equal(read_repeating(image, quarter, torch.tensor([0.0, 4.0])), image.rot90(1, (1, 2)))


def test_between_pixels_it_is_the_mean_over_the_border_too():
    image = torch.tensor([[[0.0, 4.0], [8.0, 20.0]]])
    half = read_repeating(image, EYE, torch.tensor([0.5, 0.5]))
    assert torch.equal(half, torch.full((1, 2, 2), 8.0))


def test_the_strengths_are_those_of_the_kinds():
    assert torch.allclose(change("short", 5, positive=True), EYE * (1 - 15 / 64))
    assert torch.allclose(change("stretched", 1, positive=False), torch.diag(torch.tensor([1.0, 1 / 1.1]).double()))
    turn = change("turned", 5, positive=True)
    assert math.degrees(math.atan2(float(turn[1, 0]), float(turn[0, 0]))) == pytest.approx(40)
    assert torch.allclose(turn @ change("turned", 5, positive=False), EYE)


@pytest.mark.parametrize("kind", [*KINDS, "drawn"])
def test_what_tiled_has_seams(kind):
    batch = textures()
    before = seam_fault(batch.images).mean()
    for severity in (1, 5):
        assert seam_fault(Untile(kind=kind).apply(batch, severity).images).mean() > before + 0.3


def test_kinds_places_and_ways_are_drawn_by_sample():
    one = textures().images[:1]
    batch = Batch(one.expand(12, -1, -1, -1), None, tuple(f"s{i}" for i in range(12)))
    assert len({image.numpy().tobytes() for image in Untile().apply(batch, 1).images}) == 12


def test_classes_of_pixels_are_read_where_the_pixels_are():
    masks = (torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.5).long()
    batch = Batch(masks[:, None].float(), masks, ("a", "b"))
    changed = Untile(kind="short").apply(batch, 3)
    assert changed.labels.shape == masks.shape
    sure = (changed.images[:, 0] - 0.5).abs() > 0.499
    assert bool((changed.labels == (changed.images[:, 0] > 0.5))[sure].all())
