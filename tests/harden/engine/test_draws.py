"""A guard's random numbers: fresh at every pass, the same after a reset."""

from __future__ import annotations

import torch

from unshaken.harden.engine.draws import Draws, uniform


def drawn(draws, passes=3):
    return [torch.rand(4, generator=draws.next()).tolist() for _ in range(passes)]


def test_passes_draw_other_numbers_and_a_reset_the_same_again():
    draws = Draws(5)
    first = drawn(draws)
    assert first[0] != first[1] != first[2]
    draws.reset(5)
    assert drawn(draws) == first
    assert drawn(Draws(5)) == first
    assert drawn(Draws(6))[0] != first[0]


def test_sources_of_one_model_draw_other_numbers():
    one, two = Draws(), Draws()
    one.reset("a", 0)
    two.reset("a", 1)
    assert drawn(one)[0] != drawn(two)[0]


def test_a_frozen_source_draws_the_same_at_every_pass():
    first, second, _ = drawn(Draws(frozen=True))
    assert first == second


def test_numbers_lie_between_their_bounds_in_the_type_of_a_tensor():
    like = torch.zeros(1, dtype=torch.float64)
    found = uniform(Draws().next(), like, 1000, low=-2.0, high=3.0)
    assert found.dtype == torch.float64
    assert -2 <= float(found.min()) < -1.9
    assert 2.9 < float(found.max()) < 3
