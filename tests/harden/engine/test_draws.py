"""A guard's random numbers: fresh at every pass, the same after a reset."""

from __future__ import annotations

import torch

from unshaken.harden.engine.draws import Draws, drawn_for_step, uniform


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


def test_draws_of_a_step_hang_on_seed_step_and_process_alone():
    def drawn_at(*place):
        with drawn_for_step(*place, torch.device("cpu")):
            return torch.rand(3).tolist()

    before = torch.get_rng_state()
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    found = [tuple(drawn_at(*place)) for place in places]
    assert len(set(found)) == 4
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert [tuple(drawn_at(*place)) for place in places] == found


def test_default_sources_are_of_seed_0():
    assert drawn(Draws()) == drawn(Draws(0))
    reset = Draws(3)
    reset.reset(0)
    assert drawn(reset) == drawn(Draws())
