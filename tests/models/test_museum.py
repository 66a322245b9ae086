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
from unshaken.models.museum.inputs import total_variation_slope, wavelet_denoised
from unshaken.models.museum.layers import PrunedReLU, RoundedReLU


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


def test_thermometer_codes_by_hand_and_without_a_gradient():
    x = torch.tensor([[0.0, 0.2], [0.6, 1.0]]).view(1, 1, 2, 2).requires_grad_(True)
    model = museum.thermometer(flat(1, 2), levels=4)
    code = model.net[0](x)[0]  # thresholds 1/8, 3/8, 5/8, 7/8
    assert code.flatten(1).T.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert model(x).tolist() == [[0, 0.25, 0.5, 1]]
    assert not model(x).requires_grad
    colours = images(1, 3)
    near = museum.thermometer(flat(3), levels=200)(colours)
    assert torch.allclose(near, colours.flatten(1), atol=1 / 400 + 1e-6)


def test_deflected_pixels_come_from_their_neighbourhood_and_as_often_as_asked():
    ramp = torch.arange(40.0).view(1, 1, 1, 40).expand(50, 1, 40, 40) / 40
    layer = museum.pixel_deflection(flat(1, 40), share=0.25, reach=2).net
    layer_moves = []
    before = museum.inputs.wavelet_denoised
    try:
        museum.inputs.wavelet_denoised = lambda x: layer_moves.append(x) or x
        layer(ramp)
    finally:
        museum.inputs.wavelet_denoised = before
    moved = ((layer_moves[0] - ramp) * 40).round()
    assert float(moved.abs().max()) == 2
    # A quarter is chosen, of which 4 of 5 go to another column.
    assert float((moved[..., 2:-2] != 0).double().mean()) == pytest.approx(0.2, abs=0.01)


def test_wavelets_keep_what_is_flat_and_remove_what_is_noise():
    calm = torch.full((2, 3, 5, 7), 0.4)
    assert torch.allclose(wavelet_denoised(calm), calm, atol=1e-6)
    noisy = 0.5 + 0.05 * torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    # Of white noise one of four coefficients stays, so half of the standard deviation.
    assert float(wavelet_denoised(noisy).std()) == pytest.approx(0.025, rel=0.15)
    one = wavelet_denoised(noisy)
    assert torch.allclose(wavelet_denoised(noisy[2:]), one[2:])


def test_the_slope_of_the_total_variation_is_its_derivative():
    x = images(2).double().requires_grad_(True)
    value = sum((x.diff(dim=axis).square() + 0.05**2).sqrt().sum() for axis in (2, 3))
    (wanted,) = torch.autograd.grad(value, x)
    assert torch.allclose(total_variation_slope(x.detach(), 0.05), wanted)


def test_dropped_pixels_are_filled_from_the_others():
    calm = torch.full((3, 1, 12, 12), 0.3)
    assert torch.allclose(museum.total_variation(flat(1, 12))(calm), calm.flatten(1), atol=1e-3)
    x = images(3, 1, 12)
    assert torch.allclose(museum.total_variation(flat(1, 12), drop=0.0, weight=0.0)(x), x.flatten(1), atol=1e-6)


def test_a_matrix_of_the_rank_survives_and_the_mean_over_drops_is_right():
    sheet = images(1, 1, 8)[:, :, :1] * images(1, 1, 8)[:, :, :, :1]
    assert torch.allclose(museum.me_net(flat(1, 8), drop=0.0, rank=1)(sheet), sheet.flatten(1), atol=1e-5)
    many = (0.5 * sheet).expand(4000, 1, 8, 8)
    mean = museum.me_net(flat(1, 8), drop=0.2, rank=8)(many).mean(0)
    assert torch.allclose(mean, 0.5 * sheet.flatten(), atol=0.02)


def test_mixtures_are_with_images_of_other_classes():
    pool = torch.eye(4).view(4, 1, 2, 2)  # the net of pixels gives image k the class k
    x = torch.tensor([[0.0, 0.0, 1.0, 0.0]]).view(1, 1, 2, 2).expand(3000, 1, 2, 2)
    found = museum.mixup(flat(1, 2), pool=pool, share=0.7, mixtures=1)(x)
    assert torch.allclose(found[:, 2], torch.tensor(0.7))
    assert found.mean(0).tolist() == pytest.approx([0.1, 0.1, 0.7, 0.1], abs=0.01)
    with pytest.raises(UnshakenError, match="'bare' has no input size, so demo images cannot be mixed in: give pool="):
        museum.mixup(Classifier(Flat(), name="bare"))


def test_the_anti_adversary_moves_towards_the_predicted_class():
    x = torch.tensor([[0.2, 0.6, 0.3, 0.1]]).view(1, 1, 2, 2)
    found = museum.anti_adversary(flat(1, 2), steps=2, length=0.1)(x)  # the gradient of the cross-entropy: softmax - y
    assert found[0].tolist() == pytest.approx([0.0, 0.8, 0.1, -0.1], abs=1e-6)
    with torch.inference_mode():
        assert torch.equal(museum.anti_adversary(flat(1, 2), steps=2, length=0.1)(x), found)


def test_pruned_activations_keep_their_mean_and_the_large_ones_survive():
    x = torch.tensor([[4.0, 2.0, 1.0, -3.0]]).expand(20000, 4)
    found = PrunedReLU(0.5, 0)(x)  # two draws of four
    share = torch.tensor([4, 2, 1, 0]) / 7
    alive = (found > 0).double().mean(0)
    assert alive.tolist() == pytest.approx((1 - (1 - share) ** 2).tolist(), abs=0.015)
    assert found.mean(0).tolist() == pytest.approx([4, 2, 1, 0], abs=0.1)


def test_votes_decide_and_probabilities_only_where_they_are_equal():
    x = torch.tensor([0.0, 0.4, 1.0, 0.7])
    assert RoundedReLU(2)(x[None])[0].tolist() == pytest.approx([0, 1 / 3, 1, 2 / 3])
    base = load_model("demo:standard")
    model, some = museum.mixed_precision(base, bits=(2, 2)), images(30, 1, 28)
    with torch.no_grad():
        answers = [net(some).argmax(1) for net in model.net.nets]
        got = model(some)
    first, second, third = answers
    agreed = (first == second) | (first == third) | (second == third)
    winner = torch.where((first == second) | (first == third), first, second)
    assert torch.equal(got.argmax(1)[agreed], winner[agreed])
    assert int((second == third).logical_and(first != second).sum()) > 0  # two rounded copies outvote the network
    assert torch.allclose(got.sum(1), torch.tensor(4.0))  # three votes, and probabilities


@pytest.mark.parametrize(("name", "value", "words"), [
    ("thermometer", {"levels": 1}, "thermometer: levels=1 must be at least 2"),
    ("pixel_deflection", {"share": 0.0}, r"pixel_deflection: share=0 must be in \(0, 1\]"),
    ("total_variation", {"weight": 2.0}, r"total_variation: weight=2 must be in \[0, 0.1\]"),
    ("me_net", {"rank": 0}, "me_net: rank=0 must be at least 1"),
    ("mixup", {"share": 1.0}, r"mixup: share=1 must be in \(0, 1\)"),
    ("anti_adversary", {"length": 0.0}, "anti_adversary: length=0 must be above 0"),
    ("pruned", {"draws": 0.0}, "pruned: draws=0 must be above 0"),
    ("mixed_precision", {"bits": (1,)}, "mixed_precision: bits="),
])  # fmt: skip
def test_settings_outside_their_range_are_named(name, value, words):
    with pytest.raises(UnshakenError, match=words):
        getattr(museum, name)(flat(), **value)


def test_layers_are_replaced_where_there_are_some():
    with pytest.raises(UnshakenError, match=r"'flat' has no layer torch\.nn\.ReLU"):
        museum.pruned(flat())


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
