"""What a device draws by itself, such as dropout in training: from seed and step, and leaving its state as it was."""

from __future__ import annotations

import torch

from unshaken.core.rng import SampleRng, kept_random_state
from unshaken.harden.engine._stepping import drawn_for_step


def test_draws_of_a_step_follow_from_seed_and_step(device):
    def drawn(number):
        with drawn_for_step(0, number, 0, device):
            return torch.rand(3, device=device).tolist(), torch.rand(3).tolist()

    before = torch.simulated.get_rng_state()
    first, second = drawn(1), drawn(2)
    assert torch.equal(torch.simulated.get_rng_state(), before)
    torch.rand(5, device=device)
    assert drawn(1) == first != second


def test_the_state_of_a_device_is_put_back(device):
    with kept_random_state(device):
        first = torch.rand(3, device=device)
    assert torch.equal(torch.rand(3, device=device), first)


def test_streams_of_samples_are_those_of_the_cpu(device, counts):
    rng = SampleRng.of(0, "any", ["a", "b"])
    draws = ("uniform", (4,)), ("normal", (4,)), ("noise", (4,)), ("fresh", (4,)), ("integers", (0, 9, 4))
    for name, shape in draws:
        expected = getattr(rng.fold("use"), name)(*shape)
        for there in (rng.to(device), rng.drawn_on(device)):
            found = getattr(there.fold("use"), name)(*shape)
            assert found.device == device
            assert torch.allclose(found.cpu(), expected, rtol=0, atol=1e-6)
    before = counts["waits"] - counts["from_host"]
    rng.drawn_on(device).fold("other").normal(4)
    assert counts["waits"] - counts["from_host"] == before
