"""Training: it learns, follows from its seed, and stops where it is lost."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.core.progress import listening
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.edm import EDM
from unshaken.generate.fitting import Fitting, fit
from unshaken.generate.unet import UNet, UNetSettings

from .conftest import TINY

QUICK = Fitting(steps=12, batch_size=16, warmup=2)


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("kind", [EDM, DDPM])
def test_it_learns_to_denoise(kind, clothes):
    images, _ = clothes
    clean = images.float() / 255
    model = fit(kind(UNet(TINY)), images, None, Fitting(steps=80, batch_size=32, lr=5e-3)).model
    noisy = clean + 0.25 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        error = (model.denoise(noisy, 0.25) - clean).square().mean()
    mean_image = (clean.mean(0) - clean).square().mean()
    assert float(error) < 0.5 * float((noisy - clean).square().mean())
    assert float(error) < float(mean_image)
    assert not model.training


def test_the_same_arguments_give_the_same_weights(clothes):
    images, labels = clothes
    before = torch.get_rng_state()
    settings = TINY.model_copy(update={"classes": 10})
    one, same = (fit(EDM(UNet(settings)), images, labels, QUICK) for _ in range(2))
    other = fit(EDM(UNet(settings)), images, labels, QUICK.model_copy(update={"seed": 1}))
    assert one.losses == same.losses
    assert len(one.losses) == 12
    assert all(torch.equal(v, same.model.state_dict()[k]) for k, v in one.model.state_dict().items())
    assert one.losses != other.losses
    assert torch.equal(torch.get_rng_state(), before)


def test_the_average_is_kept(clothes):
    images, _ = clothes
    start = weights(EDM(UNet(TINY)))
    still = fit(EDM(UNet(TINY)), images, None, QUICK.model_copy(update={"steps": 1, "warmup": 0}))
    # after one step of Adam (2e-3 wherever the gradient is not nought), averaged with decay 1/10
    moved = (still.model.state_dict()["net.head.2.weight"] - start["net.head.2.weight"]).abs()
    assert float(moved.max()) == pytest.approx(1.8e-3, rel=0.01)


def test_classes_are_learned(clothes):
    # two classes, black and white: the class decides the sample
    images = torch.cat([torch.zeros(16, 1, 8, 8), torch.full((16, 1, 8, 8), 255)]).to(torch.uint8)
    labels = torch.arange(32) // 16
    net = UNet(UNetSettings(image=(1, 8, 8), width=8, levels=(1,), classes=2, attention=False))
    model = fit(EDM(net), images, labels, Fitting(steps=80, batch_size=32, lr=5e-3)).model
    made = model.sample(6, steps=8, labels=torch.tensor([0, 1, 0, 1, 0, 1]), guidance=1.5).mean((1, 2, 3))
    assert (made > 0.5).tolist() == [False, True] * 3


def test_hidden_labels(clothes):
    seen = []

    class Spy(DDPM):
        def loss(self, x, rng, labels=None):
            seen.append(labels)
            return super().loss(x, rng, labels)

    images, labels = clothes
    net = UNet(TINY.model_copy(update={"classes": 10}))
    fit(Spy(net, DDPMSettings(timesteps=5)), images, labels, Fitting(steps=8, batch_size=64, drop_class=0.25))
    hidden = torch.cat(seen).eq(10).double().mean()
    assert float(hidden) == pytest.approx(0.25, abs=0.08)  # 512 draws: four standard errors


def test_progress_is_told(clothes):
    events = []
    with listening(events.append):
        fit(EDM(UNet(TINY)), clothes[0], None, QUICK)
    assert (events[0].name, events[-1].done, events[-1].closed) == ("fitting edm", 12, True)
    assert events[-1].note.startswith("loss ")


def test_a_lost_loss_stops_with_the_step_named(clothes):
    class Lost(EDM):
        calls = 0

        def loss(self, x, rng, labels=None):
            Lost.calls += 1
            return super().loss(x, rng, labels) * (float("nan") if Lost.calls == 4 else 1)

    with pytest.raises(RunError, match=r"nan at step 4 of 12: lower lr \(it was 0.002\)"):
        fit(Lost(UNet(TINY)), clothes[0], None, QUICK)


def test_bad_input(clothes):
    images, labels = clothes
    model = EDM(UNet(TINY))
    with pytest.raises(DataError, match="must be uint8"):
        fit(model, images.float())
    with pytest.raises(DataError, match="must be uint8"):
        fit(model, images[:0])
    with pytest.raises(ModelError, match=r"is for images of 1x8x8 .* not 1x8x4"):
        fit(model, images[..., :4])
    with pytest.raises(ParameterError, match="without classes"):
        fit(model, images, labels)
    conditional = EDM(UNet(TINY.model_copy(update={"classes": 10})))
    with pytest.raises(ParameterError, match="10 classes: give labels"):
        fit(conditional, images)
    with pytest.raises(ParameterError, match="the model knows"):
        fit(conditional, images, labels + 5)
    for options in ({"steps": 0}, {"ema": 1.0}, {"lr": 0}, {"drop_class": 1.1}):
        with pytest.raises(ParameterError, match=next(iter(options))):
            Fitting(**options)
