"""The gradient of a smoothed loss against torch.autograd."""

from __future__ import annotations

import torch

from unshaken.certify.smoothing.smoothed_gradient import SmoothedGradient
from unshaken.core import SampleRng


def test_the_gradient_is_that_of_the_mean_probability(plane):
    samples, rng = plane.batch(0.1, 0.2), SampleRng.of(0, "x", ["s0", "s1"])
    oracle = plane.counted()
    found = oracle.ask(SmoothedGradient(samples.images, samples.labels, 0.25 * rng.normal(5, 1, 4, 4)))
    x = samples.images.clone().requires_grad_(True)
    noise = rng.normal(5, 1, 4, 4)
    p = torch.stack([plane.Linear()(x[:, :] + 0.25 * noise[:, j]).softmax(1) for j in range(5)]).mean(0)
    loss = -p[:, 1].log()
    assert torch.allclose(found.value, loss.detach(), atol=1e-6)
    assert torch.allclose(found.gradient, torch.autograd.grad(loss.sum(), x)[0], atol=1e-6)
    assert found.forwards.tolist() == found.backwards.tolist() == [5, 5]
    assert (oracle.meter.forwards, oracle.meter.backwards) == (10, 10)
