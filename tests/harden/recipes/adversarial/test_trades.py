from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.trades import FromNoise, Trades, trades_loss


def test_the_loss_at_known_logits(card):
    assert trades_loss(card.clean, card.adversarial, card.labels, 6.0).item() == pytest.approx(2.829485, abs=2e-6)
    assert F.cross_entropy(card.clean, card.labels).item() == pytest.approx(0.761566, abs=2e-6)
    kl = trades_loss(card.clean, card.adversarial, card.labels, 1.0) - F.cross_entropy(card.clean, card.labels)
    assert kl.item() == pytest.approx(0.344653, abs=2e-6)


def test_gradients_flow_through_both_predictions(card):
    clean, adversarial = card.clean.clone().requires_grad_(), card.adversarial.clone().requires_grad_()
    both = torch.autograd.grad(trades_loss(clean, adversarial, card.labels, 6.0), [clean, adversarial])
    p, q = clean.softmax(1), adversarial.softmax(1)
    kl = (p * (p / q).log()).sum(1, keepdim=True)
    wanted = (p - F.one_hot(card.labels, 3)) / 2 + 6 * p * ((p / q).log() - kl) / 2
    assert torch.allclose(both[0], wanted, atol=1e-6)
    assert torch.allclose(both[1], 6 * (q - p) / 2, atol=1e-6)


def test_beta_nought_is_clean_training(photos, net):
    images, labels = photos
    training = Training(epochs=1, batch_size=32, select="last", check_images=8)
    plain = fit(net(), images, labels, [], training).last
    none = fit(net(), images, labels, [Trades(beta=0, eps=0.1, steps=1)], training).last
    for name, weight in plain.net.state_dict().items():
        if "running" in name or "tracked" in name:
            continue  # the second forward pass of TRADES is a pass in training mode too
        assert torch.allclose(weight, none.net.state_dict()[name], atol=1e-6), name


def test_the_search_leaves_the_clean_prediction(photos, net, step_of):
    images, labels = photos[0][:16].float() / 255, photos[1][:16]
    model = net()
    found = Trades(eps=0.1, steps=5).inner(step_of(model, images, labels))
    model.eval()
    p, q = model(images).log_softmax(1), model(found).log_softmax(1)
    noise = model((images + 0.001 * torch.randn_like(images)).clamp(0, 1)).log_softmax(1)
    kl = F.kl_div(q, p, log_target=True, reduction="none").sum(1)
    assert (kl > 10 * F.kl_div(noise, p, log_target=True, reduction="none").sum(1)).all()
    assert (found - images).abs().max() <= 0.1 + 1e-6


def test_the_start_is_a_thousandth_away(photos, net, step_of):
    images = photos[0][:64].float() / 255 * 0.8 + 0.1
    step = step_of(net(), images, photos[1][:64])
    tiny = FromNoise(steps=1, rel_stepsize=1e-9, random_start=False)
    found = step.inner.find(tiny, images, step.labels, step.rng, norm="linf", eps=0.1)
    assert (found - images).std().item() == pytest.approx(1e-3, rel=0.05)


def test_bad_parameters():
    with pytest.raises(ParameterError, match="beta=-1"):
        Trades(beta=-1)
    with pytest.raises(ParameterError, match="single search"):
        Trades(attack="autoattack")
    with pytest.raises(ParameterError, match="no method 'pdg'"):
        Trades(attack="pdg")
