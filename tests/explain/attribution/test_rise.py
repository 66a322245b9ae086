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
