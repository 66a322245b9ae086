"""Translation against numpy's padding, and against windows of a larger picture."""

import numpy as np
import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.stress.geometry.translation import NEIGHBOURS, Translation, translation, window

PICTURE = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0))
PAD = {"edge": "edge", "reflect": "reflect", "zero": "constant"}


def move(dy, dx):
    return torch.tensor([dy]), torch.tensor([dx])


@pytest.mark.parametrize("fill", ["edge", "reflect", "zero"])
@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, -1), (-3, 2), (5, 5), (-8, 8), (0, 0)])
def test_equals_a_cut_from_the_padded_picture(fill, dy, dx):
    padded = np.pad(PICTURE.numpy(), ((0, 0), (0, 0), (8, 8), (8, 8)), mode=PAD[fill])
    expected = padded[:, :, 8 + dy : 17 + dy, 8 + dx : 20 + dx]
    assert np.array_equal(translation(PICTURE, *move(dy, dx), fill).numpy(), expected)


@pytest.mark.parametrize(("dy", "dx"), NEIGHBOURS)
def test_with_a_margin_all_but_what_enters_is_what_the_camera_sees(dy, dx):
    seen = window(PICTURE, dy, dx, 7, 10)
    assert torch.equal(seen, PICTURE[:, :, 1 + dy : 8 + dy, 1 + dx : 11 + dx])
    made_up = translation(window(PICTURE, 0, 0, 7, 10), *move(dy, dx))
    differs = (made_up != seen).any(1)[0]
    rows = [0] if dy < 0 else [6] if dy > 0 else []
    columns = [0] if dx < 0 else [9] if dx > 0 else []
    entered = torch.zeros(7, 10, dtype=torch.bool)
    entered[rows] = True
    entered[:, columns] = True
    assert torch.equal(differs, entered)


@pytest.mark.parametrize(
    ("dy", "dx", "height", "width"), [(2, 0, 7, 10), (0, -2, 7, 10), (0, 0, 10, 10), (0, 1, 9, 12)]
)
def test_a_window_that_leaves_the_picture_is_refused(dy, dx, height, width):
    with pytest.raises(ParameterError, match=r"leaves images of 9 x 12 pixels"):
        window(PICTURE, dy, dx, height, width)


@pytest.mark.parametrize("severity", [1, 5])
def test_each_sample_moves_by_the_severity_to_one_of_eight_neighbours(severity):
    dy, dx = Translation().moves(severity, SampleRng.of(0, "moves", [str(i) for i in range(800)]))
    moves, counts = torch.stack([dy, dx], 1).unique(dim=0, return_counts=True)
    assert sorted(map(tuple, moves.tolist())) == sorted((severity * a, severity * b) for a, b in NEIGHBOURS)
    assert counts.min() > 60  # 100 each on average


def test_one_pixel_on_small_pictures_changes_no_more_than_the_border():
    images = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    batch = Batch(images, None, tuple(map(str, range(16))))
    kept = Translation(fill="zero").apply(batch, 1).images
    assert (kept == 0).flatten(1).sum(1).max() == 55
    assert (kept == 0).flatten(1).sum(1).min() == 28


def test_bad_values_are_refused():
    batch = Batch(PICTURE, None, ("a",))
    with pytest.raises(ParameterError, match="severity 6"):
        Translation().apply(batch, 6)
    with pytest.raises(ParameterError, match="fill='roll'"):
        Translation(fill="roll")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(Translation(fill="reflect"), 2, channels=channels) == []
