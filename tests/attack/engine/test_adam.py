"""Adam of a search against torch's."""

from __future__ import annotations

import torch

from unshaken.attack.engine.adam import Adam


def test_walks_as_torch_whatever_the_step_count_of_the_other_samples():
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(5, 2, 1, 3, 3, generator=generator, dtype=torch.float64)
    expected = []
    for sample in range(2):
        x = torch.zeros(1, 3, 3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([x], lr=0.1)
        for step in range(5 - 2 * sample):
            x.grad = -gradients[step + 2 * sample, sample]
            optimizer.step()
        expected.append(x.detach())
    x = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    adam, count = Adam.of(x), torch.zeros(2, dtype=torch.int64)
    for step in range(5):
        if step == 2:  # the second sample begins anew, as one that enters a batch in work
            both = Adam.of(x)
            adam = Adam(torch.stack([adam.m[0], both.m[1]]), torch.stack([adam.v[0], both.v[1]]))
            x, count = torch.stack([x[0], both.m[1]]), count * torch.tensor([1, 0])
        adam, count = adam.add(gradients[step]), count + 1
        x = x + 0.1 * adam.direction(count)
    assert torch.allclose(x, torch.stack(expected), rtol=1e-9, atol=0)
