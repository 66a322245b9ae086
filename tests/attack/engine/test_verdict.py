"""What counts as an example: results of phases put together, budgets, and rounding to 8 bits."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Candidate, Problem
from unshaken.attack.engine.verdict import (
    Verdict,
    initial_result,
    judge_end_points,
    merge_nearest,
    merge_verdict,
    restrict_to_budget,
)
from unshaken.core import Batch, Oracle
from unshaken.core.driver import Outcome


def test_rejected_examples_do_not_count_after_rounding_to_8_bits(make):
    """Between two levels of 8 bits the model decides; on a level it refuses to."""

    class Levels(torch.nn.Module):
        def forward(self, x):
            value = x.flatten(1).mean(1)
            off = (value * 255 - (value * 255).round()).abs()
            wrong = value - 0.6
            return torch.stack([-wrong, wrong, torch.where(off < 1e-3, 1.0, -1.0)], 1)

    from unshaken.attack.gradient.fgsm import FGSM
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
    assert found.phase.tolist() == [0, -1, 1, -1]
    assert found.distance.tolist() == pytest.approx([0.1, 0, 0.2, 0])
    assert found.without_cost().forwards.tolist() == [0, 0, 0, 0]


def test_the_nearer_example_stands():
    rows = torch.tensor([0, 1])
    first = merge_nearest(result(), rows, verdict([True, True], [0.1, 0.3]), 0)
    found = merge_nearest(first, rows, verdict([True, True], [0.2, 0.2]), 1)
    assert found.distance[:2].tolist() == pytest.approx([0.1, 0.2])
    assert found.phase[:2].tolist() == [0, 1]
    assert found.forwards[:2].tolist() == [4, 4]


def test_a_budget_holds_the_examples_within_its_radius():
    rows = torch.tensor([0, 1])
    whole = merge_nearest(result(), rows, verdict([True, True], [0.1, 0.3]), 0)
    near = restrict_to_budget(whole, result(), 0.1)  # on the radius counts
    assert near.fooled.tolist() == [True, False, False, True]
    assert torch.equal(near.images[1:3], CLEAN[1:3])
    assert near.distance.tolist() == pytest.approx([0.1, 0, 0, 0])
    assert near.phase.tolist() == [0, -1, -1, -1]
    assert near.survives_8bit.tolist() == [-1, -1, -1, -1]


def test_of_equally_near_examples_the_first_stands():
    rows = torch.tensor([0])
    first = merge_nearest(result(), rows, verdict([True], [0.2]), 0)
    found = merge_nearest(first, rows, verdict([True], [0.2]), 1)
    assert found.phase[0] == 0
    kept = merge_nearest(found, rows, verdict([False], [0.1]), 2)
    assert (kept.phase[0].item(), kept.distance[0].item()) == (0, pytest.approx(0.2))
    assert kept.forwards[0] == 6


def test_what_a_search_says_beside_its_points_is_kept_by_sample():
    told = verdict([False, True], [0.0, 0.1]).replace(notes={"asked": torch.tensor([5, 7])})
    found = merge_verdict(result(), torch.tensor([1, 2]), told, 0)
    assert found.notes["asked"].tolist() == [-1, 5, 7, -1]


# The judge of end points: class 1 where the first pixel is above a level.


class Judge:
    """Logits by the first pixel; every pass in turn may see it a little higher."""

    def __init__(self, level, lifts=(0.0,)):
        self.level, self.lifts, self.draws, self.passes = level, lifts, len(lifts), 0

    def exact(self, x):
        above = x[:, 0, 0, 0] - self.level + self.lifts[self.passes % self.draws]
        self.passes += 1
        return torch.stack([-above, above], 1)


def judged(judge, ends, *, stopped=(False,), outwards=False, eps=0.4, labels=(0,), targeted=False):
    n = len(ends)
    clean = CLEAN[:n]
    ball = Ball.of(clean, torch.full((n,), eps), "linf")
    problem = Problem(ball, torch.tensor(labels * n if len(labels) < n else labels), targeted, LOGITS[:n])
    x = clean.clone()
    x[:, 0, 0, 0] = torch.tensor(ends)
    ones = torch.ones(n, dtype=torch.int64)
    outcome = Outcome(Candidate(x), torch.tensor(stopped * n if len(stopped) < n else stopped), ones, ones, ones,
                      ones.double())  # fmt: skip
    return judge_end_points(judge, problem, outcome, LOGITS[:n].clone(), outwards=outwards)


@pytest.mark.parametrize(
    ("lifts", "fooled"),
    [((0.2, 0.2, -0.2, -0.2), False), ((0.2, 0.2, 0.2, -0.2), True), ((0.2, 0.2, -0.2, -0.2, -0.2), False),
     ((0.2, 0.2, 0.2, -0.2, -0.2), True), ((0.2, -0.2), False)],
)  # fmt: skip
def test_most_passes_of_a_random_model_must_be_fooled(lifts, fooled):
    found = judged(Judge(0.6, lifts), [0.6])
    assert found.fooled.tolist() == [fooled]
    assert found.forwards.tolist() == [1 + len(lifts)]


def test_a_success_that_was_confirmed_is_not_looked_at_again():
    judge = Judge(0.6)
    found = judged(judge, [0.7, 0.55], stopped=(True, False))
    assert found.fooled.tolist() == [True, False]
    assert found.forwards.tolist() == [1, 2]
    assert judge.passes == 1


def test_a_nearest_example_is_moved_on_by_a_hundredth_at_most():
    """From 0.5 to just before 0.6: a thousandth of the way does not reach 0.6005, a hundredth does; not 0.602."""
    near = judged(Judge(0.6005), [0.6], outwards=True)
    assert near.fooled.tolist() == [True]
    assert float(near.images[0, 0, 0, 0]) == pytest.approx(0.601)
    assert near.forwards.tolist() == [1 + 4]
    assert float(near.logits[0, 1]) == pytest.approx(0.0005, abs=1e-6)
    quick = judged(Judge(0.60005), [0.6], outwards=True)
    assert float(quick.images[0, 0, 0, 0]) == pytest.approx(0.6001)
    assert quick.forwards.tolist() == [1 + 3]
    far = judged(Judge(0.602), [0.6], outwards=True)
    assert far.fooled.tolist() == [False]
    assert float(far.images[0, 0, 0, 0]) == pytest.approx(0.6)
    assert far.forwards.tolist() == [1 + 4]
    still = judged(Judge(0.6), [0.5], outwards=True)  # nothing was found, so there is nowhere to go
    assert still.forwards.tolist() == [2]


def test_an_end_that_is_neither_an_example_nor_right_is_the_clean_image():
    """Outside the ball, or of another class than the label although no example."""
    outside = judged(Judge(0.95), [0.92])
    assert torch.equal(outside.images, CLEAN[:1])
    assert torch.equal(outside.logits, LOGITS[:1])
    kept = judged(Judge(0.95), [0.88])
    assert float(kept.images[0, 0, 0, 0]) == pytest.approx(0.88)
    unlucky = judged(Judge(0.6, (0.2, -0.2, -0.2)), [0.6])  # the first pass alone is fooled
    assert unlucky.fooled.tolist() == [False]
    assert torch.equal(unlucky.images, CLEAN[:1])
    astray = judged(Judge(0.6), [0.55], labels=(1,), targeted=True)  # not yet the target: it stays where it is
    assert float(astray.images[0, 0, 0, 0]) == pytest.approx(0.55)
