import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.explain.attribution.meaningful_perturbation import penalty, shifted
from unshaken.explain.engine.gradients import enlarged
from unshaken.explain.engine.run import attribute
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur

FIRST = torch.tensor([0])


def test_the_penalty_by_hand():
    """Mean of |1 - m| is 3/8; differences are 1 and 1/2 down, 1/2 and 1 across, their cubes 1, 1/8, 1/8 and 1."""
    mask = torch.tensor([[[1.0, 0.5], [0, 1]]])
    mean, rough = 1.5 / 4, 1 + 0.125 + 0.125 + 1
    assert penalty(mask, 2.0, 0.0).item() == pytest.approx(2 * mean)
    assert penalty(mask, 0.0, 3.0).item() == pytest.approx(3 * rough)


def test_a_shift_repeats_the_border():
    image = torch.arange(6.0).view(1, 1, 2, 3)
    assert shifted(image, torch.tensor([[0, 1]])).tolist() == [[[[0, 0, 1], [3, 3, 4]]]]
    assert shifted(image, torch.tensor([[-1, 0]])).tolist() == [[[[3, 4, 5], [3, 4, 5]]]]


def test_the_first_steps_are_adams():
    """z = w x under a mask: torch's own Adam on the same loss, one pixel brighter than its blurred neighbourhood."""
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    net.requires_grad_(False)
    blurred, mask = gaussian_blur(image, 2.0), torch.ones(1, 4, 4, requires_grad=True)
    adam = torch.optim.Adam([mask], lr=0.05)
    for _ in range(6):
        shown = enlarged(mask, image.shape[2:])[:, None]
        score = net(image * shown + blurred * (1 - shown)).softmax(1)[0, 1]
        adam.zero_grad()
        torch.autograd.backward(score + penalty(mask, 0.01, 0.02).sum())
        adam.step()
        with torch.no_grad():
            mask.clamp_(0, 1)
    method = "meaningful-perturbation:steps=6,lr=0.05,cells=4,blur=0.25,area=0.01,tv=0.02,jitter=0"
    found = attribute(Classifier(net), image, method, classes=torch.tensor([1]))
    assert torch.allclose(found.maps, enlarged(1 - mask.detach(), image.shape[2:]), atol=1e-5)
    assert (found.forwards.item(), found.backwards.item()) == (6, 6)


def test_the_one_pixel_that_counts_is_found(formula):
    """Only a bright pixel raises the score: the mask hides it, and the area brings all others back to 1."""
    image = torch.zeros(1, 1, 7, 7)
    image[0, 0, 2, 4] = 1
    net = formula(lambda x: 4 * x[:, 2 * 7 + 4])
    method = "meaningful-perturbation:steps=30,blur=0.2,jitter=0,tv=0,area=0.05"
    found = attribute(net, image, method, classes=FIRST).maps[0]
    assert found[2, 4] > 0.9
    assert found.sum() - found[2, 4] < 1e-6


def test_shifts_come_from_the_samples_own_stream(conv, images):
    method = "meaningful-perturbation:steps=3"
    one, other = (attribute(conv, images[:2], method, seed=seed).maps for seed in (0, 1))
    assert not torch.equal(one, other)
    still = (attribute(conv, images[:2], f"{method},jitter=0", seed=seed).maps for seed in (0, 1))
    assert torch.equal(*still)
