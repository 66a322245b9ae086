"""What counts as an example: results of phases put together, budgets, and rounding to 8 bits."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.engine.verdict import Verdict, initial_result, merge_nearest, merge_verdict, restrict_to_budget
from unshaken.core import Batch, Oracle


def test_rejected_examples_do_not_count_after_rounding_to_8_bits(make):
    """Between two levels of 8 bits the model decides; on a level it refuses to."""

    class Levels(torch.nn.Module):
        def forward(self, x):
            value = x.flatten(1).mean(1)
            off = (value * 255 - (value * 255).round()).abs()
            wrong = value - 0.6
            return torch.stack([-wrong, wrong, torch.where(off < 1e-3, 1.0, -1.0)], 1)

    from unshaken.attack import FGSM
    from unshaken.core import Classifier

    batch = Batch(torch.full((1, 1, 2, 2), 0.501), torch.tensor([0]), ("a",))
    eps = (153.4 / 255) + 0.01 - 0.501
    for reject, kept in ((None, 1), (2, 0)):
        model = Classifier(Levels(), reject=reject).eval()
        (got,), _ = FGSM().attack(Oracle(model), batch, norm="linf", eps=[eps])
        assert got.fooled.tolist() == [True]
        assert got.survives_8bit.tolist() == [kept]


CLEAN = torch.full((4, 1, 1, 2), 0.5)
LOGITS = torch.tensor([[1.0, 0.0]]).repeat(4, 1)


def result():
    """Four samples of class 0, the last of them labelled 1 and so wrong from the start."""
    return initial_result(CLEAN, LOGITS, torch.tensor([0, 0, 0, 1]), False)


def verdict(fooled, distance):
    n, ones = len(fooled), torch.ones(len(fooled), dtype=torch.int64)
    fooled = torch.tensor(fooled)
    logits = torch.where(fooled[:, None], torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    images = CLEAN[:n] + torch.tensor(distance).view(-1, 1, 1, 1)
    return Verdict(images, fooled, logits, torch.tensor(distance).double(), 2 * ones, ones, ones.double(), ones)


def test_wrong_from_the_start_counts_at_no_cost():
    first = result()
    assert first.fooled.tolist() == [False, False, False, True]
    assert first.forwards.tolist() == first.distance.tolist() == [0, 0, 0, 0]
    targeted = initial_result(CLEAN, LOGITS, torch.tensor([0, 0, 0, 1]), True)
    assert targeted.fooled.tolist() == [True, True, True, False]


def test_a_phase_puts_in_its_samples_and_costs_add_up():
    rows = torch.tensor([0, 2])
    found = merge_verdict(result(), rows, verdict([True, False], [0.1, 0.0]), 0)
    found = merge_verdict(found, torch.tensor([2]), verdict([True], [0.2]), 1)
    assert found.fooled.tolist() == [True, False, True, True]
    assert found.forwards.tolist() == [2, 0, 4, 0]
    assert found.turn.tolist() == [0, -1, 1, -1]
    assert found.distance.tolist() == pytest.approx([0.1, 0, 0.2, 0])
    assert found.without_cost().forwards.tolist() == [0, 0, 0, 0]


def test_the_nearer_example_stands():
    rows = torch.tensor([0, 1])
    first = merge_nearest(result(), rows, verdict([True, True], [0.1, 0.3]), 0)
    found = merge_nearest(first, rows, verdict([True, True], [0.2, 0.2]), 1)
    assert found.distance[:2].tolist() == pytest.approx([0.1, 0.2])
    assert found.turn[:2].tolist() == [0, 1]
    assert found.forwards[:2].tolist() == [4, 4]


def test_a_budget_holds_the_examples_within_its_radius():
    rows = torch.tensor([0, 1])
    whole = merge_nearest(result(), rows, verdict([True, True], [0.1, 0.3]), 0)
    near = restrict_to_budget(whole, result(), 0.1)  # on the radius counts
    assert near.fooled.tolist() == [True, False, False, True]
    assert torch.equal(near.images[1:3], CLEAN[1:3])
    assert near.distance.tolist() == pytest.approx([0.1, 0, 0, 0])
    assert near.turn.tolist() == [0, -1, -1, -1]
