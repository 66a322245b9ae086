"""Amplitudes stay, turns by hand, and the exchange of two pictures' waves."""

import math

import torch

from unshaken.stress.cues.phase_noise import exchange_phases, turn_phases

IMAGES = torch.rand(2, 3, 16, 17, generator=torch.Generator().manual_seed(0))


def test_amplitudes_stay_and_so_does_the_mean():
    turns = torch.rand(2, 16, 9, generator=torch.Generator().manual_seed(1)) * 2 * math.pi
    turns[:, :, 0] = 0  # waves without a partner of their own must stay real
    changed = turn_phases(IMAGES, turns)
    assert torch.allclose(torch.fft.rfft2(changed).abs(), torch.fft.rfft2(IMAGES).abs(), atol=1e-4)
    assert torch.allclose(changed.mean((2, 3)), IMAGES.mean((2, 3)), atol=1e-6)
    assert not torch.allclose(changed, IMAGES, atol=0.05)


def test_half_a_turn_of_a_cosine_is_its_negative():
    wave = torch.cos(2 * math.pi * torch.arange(16) / 8).expand(16, 16)[None, None]
    turns = torch.zeros(1, 16, 9)
    turns[0, 0, 2] = math.pi
    assert torch.allclose(turn_phases(wave, turns), -wave, atol=1e-6)


def test_a_picture_exchanged_with_itself_is_itself():
    assert torch.allclose(exchange_phases(IMAGES, IMAGES), IMAGES, atol=1e-5)


def test_the_exchange_takes_amplitudes_from_one_and_phases_from_the_other():
    mixed = exchange_phases(IMAGES, IMAGES.flip(0))
    wave, size = torch.fft.rfft2(mixed), torch.fft.rfft2(IMAGES).abs()
    size[:, :, 0, 0] = torch.fft.rfft2(IMAGES.flip(0)).abs()[:, :, 0, 0]
    assert torch.allclose(wave.abs()[..., 1:-1], size[..., 1:-1], atol=1e-3)
    turned = wave[..., 1:8].angle() - torch.fft.rfft2(IMAGES.flip(0))[..., 1:8].angle()
    assert float(torch.sin(turned / 2).abs().max()) < 1e-3
