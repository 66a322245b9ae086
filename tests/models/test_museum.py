"""The museum's defences: each does what it says, before any network."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unshaken.core import Classifier, UnshakenError
from unshaken.models import load_model, museum
from unshaken.models.museum import median_filtered, rounded


class Flat(nn.Module):
    """Shows what reaches it: its logits are the pixels."""

    def forward(self, x):
        return x.flatten(1)


def flat(channels=1, side=4):
    from unshaken.core.classifier import View

    return Classifier(Flat(), view=View(side, side, channels=channels), name="flat").eval()


def images(n=3, channels=1, side=4):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", museum.EXHIBITS)
def test_each_is_a_model_of_the_house(name):
    model = load_model(f"py:unshaken.models.museum:{name}")
    x = images(2, 1, 28).clamp(0, 1)
    classes = 11 if name == "detector" else 10
    assert model(x).shape == (2, classes)
    assert len(model.classes) == classes
    assert model.input_size == (28, 28)
    assert model.reject == (10 if name == "detector" else None)
    assert not model.training


def test_rounding_by_hand_and_without_a_gradient():
    x = torch.tensor([0.0, 0.07, 0.08, 0.5, 0.6, 1.0])
    assert (rounded(x, 3) * 7).tolist() == pytest.approx([0, 0, 1, 4, 4, 7])  # 3.5 goes to the even level
    x = images().requires_grad_(True)
    (gradient,) = torch.autograd.grad(museum.bit_depth(flat())(x).sum(), x)
    assert bool((gradient == 0).all())


def test_median_by_hand():
    x = torch.tensor([[1.0, 5.0, 2.0], [4.0, 3.0, 9.0], [8.0, 7.0, 6.0]]).view(1, 1, 3, 3)
    got = median_filtered(x, 2)[0, 0]
    # Of an even number of pixels the lower middle one: at (1, 1) of 1, 5, 4, 3; at (2, 2) of 3, 9, 7, 6.
    assert (float(got[1, 1]), float(got[2, 2])) == (3.0, 6.0)
    assert torch.equal(median_filtered(torch.full((1, 3, 4, 5), 0.3), 3), torch.full((1, 3, 4, 5), 0.3))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_another_codec_reads(channels):
    smooth = torch.nn.functional.interpolate(images(2, channels, 3), size=16, mode="bilinear")
    seen = museum.jpeg(flat(channels, 16), quality=80)(smooth).view(2, channels, 16, 16)
    for image, got in zip(smooth, seen, strict=True):
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, "JPEG", quality=80)
        peer = torch.from_numpy(np.array(Image.open(file))).reshape(16, 16, channels).permute(2, 0, 1)
        assert float((got * 255 - peer).abs().max()) <= 3
    assert museum.jpeg(flat())(images(0)).shape == (0, 16)


@pytest.mark.parametrize(("name", "factor"), [("distilled", 40), ("cold", 1000)])
def test_scaled_logits_keep_their_order(name, factor):
    x = images()
    assert torch.allclose(getattr(museum, name)(flat())(x), factor * x.flatten(1))


def test_noise_is_another_in_every_pass_and_of_its_size():
    model, x = museum.noise(flat(1, 64), sigma=0.1), torch.full((4, 1, 64, 64), 0.5)
    first, second = model(x) - 0.5, model(x) - 0.5
    assert not torch.equal(first, second)
    assert float(first.std()) == pytest.approx(0.1, rel=0.03)
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.05
    assert torch.equal(museum.noise(flat(1, 64), sigma=0.1)(x) - 0.5, first)  # its stream has a seed
    state = torch.get_rng_state()
    model(x)
    assert torch.equal(torch.get_rng_state(), state)


def test_random_resize_shrinks_and_moves_a_white_square():
    side, x = 40, torch.ones(200, 1, 40, 40)
    seen = museum.random_resize(flat(1, side), least=0.5)(x).view(200, side, side)
    area = seen.sum((1, 2)) / side**2
    assert 0.2499 < float(area.min()) < 0.3
    assert 0.9 < float(area.max()) <= 1
    assert float(area.mean()) == pytest.approx(7 / 12, abs=0.03)  # of s squared, s uniform in [1/2, 1]
    left, right = (seen[:, :, :4].sum((1, 2)) > 0), (seen[:, :, -4:].sum((1, 2)) > 0)
    assert 0 < int((left & ~right).sum()) < 200  # some touch one edge only
    assert bool((left.sum() - right.sum()).abs() < 40)
    unit = museum.random_resize(flat(), least=1.0)(images())
    assert torch.allclose(unit, images().flatten(1), atol=1e-5)


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.8])
def test_the_alarm_leads_exactly_where_squeezing_changes_the_answer(threshold):
    base = load_model("demo:standard")
    model = museum.detector(base, threshold=threshold, bits=3, side=2)
    x = images(60, 1, 28) * 0.6
    with torch.no_grad():
        answer = base(x).softmax(1)
        change = [(answer - base(copy).softmax(1)).abs().sum(1) for copy in (rounded(x, 3), median_filtered(x, 2))]
        rejected = model(x).argmax(1) == 10
    assert torch.equal(rejected, torch.maximum(*change) > threshold)
    assert torch.allclose(model(x)[:, :10], base(x))
    if threshold < 0.5:
        assert int(rejected.sum()) > 0


def test_any_classifier_can_be_exhibited_but_a_black_box():
    three = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), classes=tuple("abcde"), name="own")
    assert museum.bit_depth(three, bits=1)(images(2, 3)).shape == (2, 5)
    assert museum.bit_depth(three).classes == tuple("abcde")
    assert museum.detector(three).reject == 5
    with pytest.raises(UnshakenError, match="has neither class names nor an input size"):
        museum.detector(Classifier(Flat(), name="bare"))
    assert museum.detector(flat()).reject == 16
    with pytest.raises(UnshakenError, match="'box' gives no gradients") as caught:
        museum.jpeg(Classifier(Flat(), differentiable=False, name="box"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", museum.EXHIBITS)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_keeps_its_mode(name, training):
    base = load_model("demo:standard").train(training)
    assert {m.training for m in getattr(museum, name)(base).modules()} == {training}
