import pytest
import torch

from unshaken.explain.metrics.pointing_game import PointingGame

BOX = [torch.tensor([[1.0, 1, 3, 3]])]


def peak(row, column):
    """A map of 6 x 6 with one maximum."""
    found = torch.zeros(1, 6, 6)
    found[0, row, column] = 1
    return found


@pytest.mark.parametrize(
    ("place", "tolerance", "hit"),
    [((1, 1), 0, 1), ((2, 2), 0, 1), ((3, 2), 0, 0), ((3, 2), 1, 1), ((3, 3), 1, 0), ((3, 3), 1.5, 1), ((5, 2), 3, 1)],
)
def test_by_hand(drawn, place, tolerance, hit):
    """The right and the lower end of the box are excluded; the distance is that to the nearest pixel of the object."""
    assert PointingGame(tolerance=tolerance).judge(drawn(peak(*place), boxes=BOX)).value.tolist() == [hit]


def test_the_first_of_equal_maxima_counts(drawn):
    both = peak(0, 5) + peak(1, 1)
    assert PointingGame().judge(drawn(both, boxes=BOX)).value.tolist() == [0]
    assert PointingGame().judge(drawn(both.flip(1), boxes=[torch.tensor([[1.0, 4, 2, 5]])])).value.tolist() == [1]


def test_a_random_map_hits_with_the_share_of_the_object(drawn):
    maps = torch.rand(900, 6, 6, generator=torch.Generator().manual_seed(0))
    value = PointingGame().judge(drawn(maps, boxes=BOX * 900)).value.mean().item()
    assert value == pytest.approx(4 / 36, abs=4 * (4 / 36 * 32 / 36 / 900) ** 0.5)


def test_a_mask_takes_the_place_of_boxes(drawn):
    truth = torch.zeros(1, 6, 6, dtype=torch.bool)
    truth[0, 5, 5] = True
    assert PointingGame().judge(drawn(peak(5, 5), truth=truth, boxes=BOX)).value.tolist() == [1]
