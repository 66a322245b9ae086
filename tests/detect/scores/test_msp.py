"""Maximum softmax probability, by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.msp import MSP, msp

Z = torch.tensor([[2.0, 1.0, 0.1]])


def test_three_logits(anatomy):
    assert MSP().score(ForwardPass(anatomy, Z), {}).item() == pytest.approx(1 - 0.659001, abs=1e-6)


def test_a_constant_on_all_logits_changes_nothing(anatomy):
    one, other = (MSP().score(ForwardPass(anatomy, z), {}) for z in (Z.double(), Z.double() + 7))
    assert torch.allclose(one, other, atol=1e-12)


def test_next_to_certainty_scores_are_no_ties(anatomy):
    scores = MSP().score(ForwardPass(anatomy, torch.tensor([[40.0, 0.0], [41.0, 0.0]])), {})
    assert scores[0] > scores[1] > 0
    assert scores[0].item() == pytest.approx(4.248354e-18, rel=1e-6, abs=0)


def test_no_knowledge_is_the_largest_score():
    assert msp(torch.full((1, 4), 0.25)).item() == 0.75
