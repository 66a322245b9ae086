import pytest
import torch

from unshaken.explain.attribution.occlusion import Occlusion
from unshaken.explain.engine.run import attribute

FIRST = torch.tensor([0])


def test_of_one_pixel_it_is_its_share_of_a_linear_logit(formula):
    net = formula(lambda x: x[:, 0] - 2 * x[:, 1] + 3 * x[:, 2])
    point = torch.tensor([[[[2.0, 1, -1]]]])
    found = attribute(net, point, "occlusion:patch=1,stride=1,score=logit", classes=FIRST)
    assert found.maps.flatten().tolist() == pytest.approx([2, -2, -3], abs=1e-6)
    assert found.forwards.item() == 4


def test_patches_that_overlap_are_averaged(formula):
    """Of four pixels in a row, patches of one by one pixel high two: pixel k lies under one or two of them."""
    net, image = formula(lambda x: x.sum(1)), torch.ones(1, 1, 2, 4)
    found = attribute(net, image, "occlusion:patch=1,stride=1,score=logit", classes=FIRST)
    assert found.maps.flatten().tolist() == pytest.approx([4] * 8, abs=1e-5)


def test_the_number_of_patches_is_the_cards():
    assert Occlusion(patch=50 / 224, stride=3).count(224, 224) == 1 + 59**2


def test_the_far_border_is_covered(formula):
    net, image = formula(lambda x: x[:, -1]), torch.ones(1, 1, 7, 7)
    found = attribute(net, image, "occlusion:patch=0.45,stride=3,score=logit", classes=FIRST)
    assert found.maps[0, -1, -1] == 1
    assert found.maps[0, 0, 0] == 0


def test_pieces_of_any_size_ask_about_each_patch_once(formula):
    """145 copies go in three passes of 49: of a linear logit each pixel's map is its weight times its value."""
    draws = torch.randn(2, 144, generator=torch.Generator().manual_seed(0))
    net, image = formula(lambda x: x @ draws[0]), draws[1].sigmoid()
    found = attribute(net, image.view(1, 1, 12, 12), "occlusion:patch=0.05,stride=1,score=logit", classes=FIRST)
    assert torch.allclose(found.maps.flatten(), draws[0] * image, atol=1e-5)
