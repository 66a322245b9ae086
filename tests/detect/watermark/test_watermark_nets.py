"""A tiny learned watermark: it stays within its strength, its bits come back, and its key is a key."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.rng import SampleRng
from unshaken.detect.watermark import watermark_nets
from unshaken.detect.watermark.watermark import random_key
from unshaken.detect.watermark.watermark_nets import LearnedWatermark, WatermarkSettings, fit_watermark

SETTINGS = WatermarkSettings(image=(1, 16, 16), n_bits=6, width=4, strength=0.1, steps=80, batch_size=32, lr=1e-2)


def pictures(n=200, seed=0):
    small = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (255 * torch.nn.functional.interpolate(small, 16, mode="bilinear")).round().to(torch.uint8)


@pytest.fixture(scope="module")
def fitted():
    return fit_watermark(SETTINGS, pictures(), random_key(6, 0))


def test_bits_come_back_from_images_not_seen(fitted):
    held = pictures(64, seed=1).float() / 255
    marked = fitted.encode(held)
    assert float((marked - held).abs().max()) <= SETTINGS.strength + 1e-6
    assert float(fitted.score(marked).mean()) > 0.95
    assert float(fitted.score(held).mean()) < 0.8
    noisy = marked + 0.05 * torch.randn(marked.shape, generator=torch.Generator().manual_seed(0))
    assert float(fitted.score(noisy).mean()) > 0.9


def test_another_key_is_read_as_itself(fitted):
    held, other = pictures(64, seed=1).float() / 255, ~random_key(6, 0)
    rekeyed = LearnedWatermark(SETTINGS, other)
    rekeyed.load_state_dict(fitted.state_dict())
    marked = rekeyed.encode(held)
    assert float((fitted.bits(marked) == other).double().mean()) > 0.95
    assert float(fitted.score(marked).mean()) < 0.05


def test_the_score_is_the_share_of_right_bits(fitted):
    held = pictures(8, seed=2).float() / 255
    expected = (fitted.bits(held) == fitted.key).double().mean(1)
    assert torch.equal(fitted.score(held), expected)
    held[3, 0, 0, 0] = torch.nan
    assert fitted.score(held).isnan().tolist() == [i == 3 for i in range(8)]


def test_the_same_seed_gives_the_same_weights(fitted):
    short = SETTINGS.model_copy(update={"steps": 3})
    one, two = (fit_watermark(short, pictures(), random_key(6, 0)).state_dict() for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not fitted.training


def test_gradients_reach_encoder_and_decoder():
    made = LearnedWatermark(SETTINGS, random_key(6, 0)).train()
    made.logits(made.hide(torch.rand(4, 1, 16, 16), torch.ones(4, 6))).sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in made.message.parameters())
    assert all(p.grad is not None for p in made.decoder.parameters())


def test_what_is_refused(fitted):
    with pytest.raises(ParameterError, match="6 bits"):
        LearnedWatermark(SETTINGS, random_key(5, 0))
    with pytest.raises(ParameterError, match="multiple of 4"):
        LearnedWatermark(WatermarkSettings(image=(1, 16, 12)), random_key(30, 0))
    with pytest.raises(DataError, match="uint8"):
        fit_watermark(SETTINGS, pictures().float(), random_key(6, 0))
    with pytest.raises(DataError, match="this watermark is for"):
        fitted.encode(torch.rand(1, 3, 16, 16))
    with pytest.raises(RunError, match="lower lr"):
        fit_watermark(SETTINGS.model_copy(update={"lr": 1e25}), pictures(), random_key(6, 0))


def test_a_message_is_painted_at_half_size_and_bounded_by_tanh():
    made = LearnedWatermark(SETTINGS, random_key(6, 0)).eval()
    images, messages = pictures(3).float() / 255 * 0.6 + 0.2, torch.eye(6)[:3]
    with torch.no_grad():
        drawn = made.message(2 * messages - 1).view(3, 1, 8, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
        painted = made.paint(torch.cat([2 * images - 1, drawn], 1))
        assert torch.allclose(made.hide(images, messages), images + 0.1 * torch.tanh(drawn + painted), atol=1e-6)
        assert torch.allclose(made.logits(images), made.decoder(2 * images - 1), atol=1e-6)


def test_the_loss_is_that_of_bits_under_noise_and_of_the_change(monkeypatch):
    """On an encoder that changes nothing but by its message, and a decoder whose logits are known."""
    losses = []

    def descend(optimizer, loss, count, **named):
        rows = torch.arange(4)
        losses.append((float(loss(rows, SampleRng.of(0, "t", [str(i) for i in range(4)])).detach()), named["steps"]))

    def hide(self, images, messages):
        return images + 0.05

    seen, wrong = [], []
    monkeypatch.setattr(watermark_nets, "descend", descend)
    monkeypatch.setattr(LearnedWatermark, "hide", hide)
    monkeypatch.setattr(LearnedWatermark, "logits", lambda self, x: seen.append(x) or torch.zeros(4, 6))
    monkeypatch.setattr(
        watermark_nets.F, "binary_cross_entropy_with_logits", lambda z, m: wrong.append(m) or torch.tensor(2.0)
    )
    fit_watermark(SETTINGS.model_copy(update={"quality": 0.4, "noise": 0.2}), pictures(), random_key(6, 0))
    assert losses == [(pytest.approx(2 + 0.4 * 0.05**2 / 0.1**2, rel=1e-4), 80)]
    noise = seen[0] - pictures()[:4].float() / 255 - 0.05
    assert float(noise.std()) == pytest.approx(0.2, rel=0.15)
    assert set(wrong[0].flatten().tolist()) == {0, 1}
