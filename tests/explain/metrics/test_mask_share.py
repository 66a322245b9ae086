import pytest
import torch

from unshaken.explain.metrics.mask_share import MaskShare


def test_by_hand(drawn):
    """What counts against the class does not count: 3 of 3 + 1."""
    maps = torch.tensor([[[3.0, -5], [1, 0]]])
    truth = torch.tensor([[[True, True], [False, False]]])
    assert MaskShare().judge(drawn(maps, truth=truth)).value.tolist() == [0.75]


def test_a_flat_map_has_the_share_of_the_object(drawn):
    truth = torch.zeros(1, 4, 4, dtype=torch.bool)
    truth[0, :2, :2] = True
    assert MaskShare().judge(drawn(torch.ones(1, 4, 4), truth=truth)).value.item() == pytest.approx(0.25)
    assert MaskShare().judge(drawn(-torch.ones(1, 4, 4), truth=truth)).value.isnan().all()


def test_above_its_mean_a_constant_part_does_not_count(drawn):
    """Of 2, 0, 0, 2 above the mean 1 both count; so they do 5 higher, where otherwise 7 of 24 is on the object."""
    truth = torch.tensor([[[True, False], [False, False]]])
    maps = torch.tensor([[[2.0, 0], [0, 2]]])
    for shift in (0, 5):
        assert MaskShare(above="mean").judge(drawn(maps + shift, truth=truth)).value.item() == pytest.approx(0.5)
    assert MaskShare().judge(drawn(maps + 5, truth=truth)).value.item() == pytest.approx(7 / 24)
