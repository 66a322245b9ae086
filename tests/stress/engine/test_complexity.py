"""Complexity: known pictures, its invariances, its expectation on noise, and the sign of steps along its gradient."""

import math

import pytest
import torch
from torch import nn

from unshaken.core import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.stress.corruptions.gaussian_blur import gaussian_kernel
from unshaken.stress.engine.complexity import climb_complexity, complexity, complexity_gradient, lead_away


def only(image):
    return complexity(image[None, None].double()).item()


def spot():
    image = torch.zeros(8, 8)
    image[2, 5] = 1
    return image


ROW, COLUMN = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (torch.full((5, 7), 0.5), 0.5),
        (torch.full((16, 16), 0.5), 0.5),
        (spot(), 1.0),
        ((ROW + COLUMN) % 2, 1.0),
        (0.5 + 0.5 * torch.cos(2 * math.pi * COLUMN / 8), 1.0),
    ],
    ids=["constant", "constant of another size", "one pixel", "checkerboard", "cosine"],
)
def test_known_pictures(image, expected):
    assert only(image) == pytest.approx(expected, abs=1e-6)


def test_it_grows_with_contrast_and_survives_shifts_flips_and_turns():
    image = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    for changed in (image.roll((3, 5), (0, 1)), image.flip(0), image.flip(1), image.rot90()):
        assert only(changed) == pytest.approx(only(image), rel=1e-9)
    assert only(0.3 * image) == pytest.approx(0.3 * only(image), rel=1e-6)
    assert torch.fft.fft2(image).abs().square().mean().item() == pytest.approx(image.square().sum().item(), rel=1e-5)


def test_noise_has_the_expected_complexity_and_blur_lowers_it():
    """`sqrt(pi HW v) / 2` in all but the mean's frequency, which has the mean."""
    noise = torch.rand(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    rest = math.sqrt(math.pi * 256 / 12) / 2
    assert complexity(noise).mean().item() == pytest.approx(rest + (0.5 * 256 - rest) / 256, rel=0.01)
    assert complexity(noise, brightness=False).mean().item() == pytest.approx(rest * 255 / 256, rel=0.01)
    kernel = torch.tensor(gaussian_kernel(1.5, truncate=4 / 3))
    blurred = noise
    for dim in (2, 3):
        blurred = sum(w * blurred.roll(i - 2, dim) for i, w in enumerate(kernel))
    found = complexity(blurred)
    assert bool((found < complexity(noise)).all())
    assert 0.8 < found.mean().item() < 0.95


def test_the_gradient_is_that_of_autograd():
    image = torch.rand(2, 1, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (slope,) = torch.autograd.grad(complexity(image, brightness=False).sum(), image)
    assert torch.allclose(complexity_gradient(image.detach()), slope, atol=1e-12)
    one = spot().double()[None, None]
    assert torch.allclose(complexity_gradient(one), one - 1 / 64, atol=1e-12)  # the image itself, without brightness


@pytest.mark.parametrize("change", [0.01, -0.01])
def test_steps_raise_or_lower_it_around_the_object_alone(change):
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 0.8 + 0.1
    masks = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    masks[:, :, 4:9, 3:12] = True
    for steps in (1, 5):
        found = climb_complexity(images, masks, change, steps)
        rise = complexity(found, brightness=False) - complexity(images, brightness=False)
        assert bool((rise * change > 0).all())
        inside = masks.expand_as(images)
        assert torch.equal(found[inside], images[inside])
    everywhere = climb_complexity(images, torch.zeros_like(masks), change, 1)  # where nothing is clipped, by that much
    ratio = complexity(everywhere, brightness=False) / complexity(images, brightness=False)
    assert torch.allclose(ratio, torch.full((2,), 1 + change), atol=1e-4)


WEIGHTS = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 1.0, 1.0, -1.0]])


def linear(view=None):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    net[1].weight.data = WEIGHTS
    return Classifier(net, view=view).eval()


def test_the_gradient_leads_away_from_the_class_of_the_image():
    image = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2)  # of class 0
    shown = torch.tensor([0.2, 0.6, 0.1, 0.9]).view(1, 1, 2, 2)
    p = (WEIGHTS @ shown.flatten()).softmax(0)
    by_hand = p[1] * (WEIGHTS[1] - WEIGHTS[0])  # of -log p_0 by z
    assert torch.allclose(lead_away(linear(), image)(shown).flatten(), by_hand)


def test_colours_and_sizes_are_fitted_to_the_model():
    push = lead_away(linear(View(2, 2, channels=1)), torch.rand(1, 3, 8, 6))
    slope = push(torch.rand(1, 3, 8, 6))
    assert slope.shape == (1, 3, 8, 6)
    assert torch.allclose(slope[:, 0], slope[:, 2])


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (nn.Flatten(), {"differentiable": False}, "gives no gradients"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 1)), {}, r"logits \(1, 1\): mislead a classifier of two classes"),
        (nn.Identity(), {}, r"logits \(1, 1, 2, 2\)"),
        (nn.Sequential(nn.Flatten(), nn.Threshold(2.0, float("nan"))), {}, "no numbers"),
    ],
)
def test_models_that_cannot_be_misled_are_refused(net, options, message):
    with pytest.raises(ModelError, match=message):
        lead_away(Classifier(net, **options).eval(), torch.rand(1, 1, 2, 2))
