"""The auto-encoder: its code, weights that follow from the seed, and an error that falls."""

from __future__ import annotations

import torch

from unshaken.generate.auto_encoder import AutoEncoder, fit_auto_encoder


def photos(n=8):
    """Flat coloured pictures."""
    return torch.rand(n, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(n, 3, 16, 24)


def test_a_picture_is_made_again_from_a_24th_of_its_numbers():
    model, images = AutoEncoder(0), photos(2)
    assert model(images).shape == images.shape
    code = model.net[:5](images - 0.5)
    assert code.shape == (2, 8, 2, 3)
    assert 24 * code.numel() == images.numel()


def test_weights_follow_from_the_seed_and_leave_the_callers_random_state():
    before = torch.get_rng_state()
    one, same, other = (AutoEncoder(seed).net[0].weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_lowers_the_error():
    images = photos()
    trained = fit_auto_encoder(images, steps=20, seed=0)
    errors = [float((model(images) - images).detach().square().mean()) for model in (AutoEncoder(0), trained)]
    assert errors[1] < 0.8 * errors[0]
    assert not trained.training
    assert not any(p.requires_grad for p in trained.parameters())
