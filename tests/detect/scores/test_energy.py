"""Energy, by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.energy import Energy, energy

Z = torch.tensor([[2.0, 1.0, 0.1]])


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 2.417030), (2.0, 3.379555)])
def test_three_logits(anatomy, temperature, expected):
    found = Energy(temperature=temperature).score(ForwardPass(anatomy, Z), {})
    assert found.item() == pytest.approx(-expected, abs=1e-6)


def test_towards_temperature_0_it_is_the_largest_logit():
    assert energy(Z.double(), 1e-4).item() == pytest.approx(-2.0, abs=1e-9)


def test_a_constant_on_all_logits_shifts_it():
    assert energy(Z.double() + 3).item() == pytest.approx(energy(Z.double()).item() - 3, abs=1e-12)
