import torch

from unshaken.core.rng import SampleRng
from unshaken.explain.attribution.rise import RISE
from unshaken.explain.engine.attribution import Target
from unshaken.explain.engine.run import attribute


def test_masks_keep_a_pixel_as_often_as_they_should():
    target = Target(torch.zeros(1, 1, 28, 28), torch.tensor([0]))
    masks = RISE(samples=2000).masks(target, torch.arange(2000)[None], SampleRng.of(0, "rise", ["a"]))
    assert masks.shape == (1, 2000, 28, 28)
    assert (masks.min(), masks.max()) >= (0, 0)
    assert masks.max() <= 1
    # A pixel of a mask has a deviation of at most 1/2: the mean over 2,000 is within 5 deviations, with room for 784.
    assert (masks.mean(1) - 0.5).abs().max() < 6 * 0.5 / 2000**0.5


class Drawn:
    """A stream of one mask, whose numbers are given."""

    keys = torch.zeros(1)

    def __init__(self, *numbers):
        self.numbers = torch.tensor([numbers])

    def fresh(self, count):
        assert count == self.numbers.shape[1]
        return self.numbers


def test_a_mask_by_hand():
    """One of 2 x 2 cells is kept; enlarged to 6 x 6 it falls as 1, 1, 2/3, 1/3, 0, 0 along either side.

    From there 4 x 4 are cut, one row further down and no column further right.
    """
    mask = RISE(cells=2, keep=0.5)._masks(Drawn(0.49, 0.51, 0.51, 0.51, 0.6, 0.4), 4, 4)[0]
    wanted = torch.tensor([1, 2 / 3, 1 / 3, 0])[:, None] * torch.tensor([1, 1, 2 / 3, 1 / 3])
    torch.testing.assert_close(mask, wanted, rtol=0, atol=1e-6)


def test_a_place_of_an_image_that_is_not_square_by_hand():
    """Cells of 2 x 3 pixels: the kept row of cells fades from 1 to 0 between the rows, and columns are all alike."""
    mask = RISE(cells=2, keep=0.5)._masks(Drawn(0.1, 0.1, 0.9, 0.9, 0.0, 0.9), 3, 6)[0]
    torch.testing.assert_close(mask, torch.tensor([1, 1, 2 / 3])[:, None].expand(3, 6), rtol=0, atol=1e-6)


def test_a_constant_model_gives_a_constant_map(formula):
    net = formula(lambda x: 0 * x[:, 0])
    found = attribute(net, torch.rand(1, 1, 14, 14), "rise:samples=2000", classes=torch.tensor([0]))
    assert abs(found.maps.mean().item() - 0.5) < 0.02
    assert (found.maps - 0.5).abs().max() < 6 * 0.5 / 2000**0.5


def test_without_masks_the_map_is_the_score_everywhere(formula):
    net, image = formula(lambda x: 3 * x[:, 5]), torch.rand(1, 1, 8, 8)
    found = attribute(net, image, "rise:samples=3,keep=1", classes=torch.tensor([0]))
    assert torch.allclose(found.maps, torch.sigmoid(3 * image.flatten()[5]).expand(1, 8, 8), atol=1e-6)


def test_the_one_pixel_that_counts_is_found(formula):
    net, image = formula(lambda x: 8 * x[:, 3 * 14 + 9]), torch.ones(1, 1, 14, 14)
    found = attribute(net, image, "rise:samples=1500", classes=torch.tensor([0]))
    row, column = divmod(int(found.maps.flatten().argmax()), 14)
    assert abs(row - 3) <= 1
    assert abs(column - 9) <= 1
    assert (found.forwards.item(), found.backwards.item()) == (1500, 0)
