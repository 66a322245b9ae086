"""Maximum logit, by hand."""

from __future__ import annotations

import torch

from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.max_logit import MaxLogit


def test_the_largest_logit_negated(anatomy):
    logits = torch.tensor([[2.0, 1.0, 0.1], [-3.0, -1.0, -2.0]])
    assert MaxLogit().score(ForwardPass(anatomy, logits), {}).tolist() == [-2.0, 1.0]


def test_a_constant_on_all_logits_shifts_it(anatomy):
    logits = torch.tensor([[2.0, 1.0, 0.5]])
    one, other = (MaxLogit().score(ForwardPass(anatomy, z), {}) for z in (logits, logits + 3))
    assert (other - one).item() == -3
