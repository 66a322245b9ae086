"""The driver, proved on four searches of different kinds whose results a plain loop or a hand gives."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier, Oracle, SampleRng, drive
from unshaken.core.progress import listening, track

WIDTHS = [1, 7, 64]


def run(search, batch, oracle, **options):
    return drive(search, batch, oracle, SampleRng.of(0, "toy", batch.ids), **options)


def order_of(batch):
    return torch.randperm(len(batch), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def ladder():
    """Images of one pixel with value 0.05, 0.15, ... 1.15: each takes another number of steps of 0.1 to pass 0."""
    values = torch.arange(12).float() / 10 + 0.05
    return Batch(values.view(-1, 1, 1, 1), torch.ones(12, dtype=torch.int64), tuple(f"s{i}" for i in range(12)))


# The attack.


@pytest.mark.parametrize("width", WIDTHS)
def test_attack_ends_each_sample_at_its_own_step(toys, ladder, width):
    outcome = run(toys.Descend(0.1, 8), ladder, Oracle(toys.line()), width=width)
    needed = torch.arange(12) + 1  # 0.05 - 0.1 k < 0 from k = 1, 0.15 from k = 2, ...
    won = needed < 8  # the point after the eighth step is never asked about
    assert outcome.stopped.tolist() == won.tolist()
    assert outcome.steps.tolist() == (torch.where(won, needed + 1, 8)).tolist()
    x = outcome.result.x.flatten()
    assert bool((x[won] < 0).all())
    assert torch.allclose(x[won], torch.tensor(-0.05), atol=1e-5)


def test_attack_counts_every_pass_of_every_sample(toys, ladder):
    model = toys.line()
    oracle = Oracle(model)
    outcome = run(toys.Descend(0.1, 8), ladder, oracle, width=1)
    needed = torch.arange(12) + 1
    won = needed < 8
    # Won: steps 0..k are asked about, one pass more confirms, and the last gradient is left out. Lost: 8 of each.
    assert outcome.forwards.tolist() == torch.where(won, needed + 2, 8).tolist()
    assert outcome.backwards.tolist() == torch.where(won, needed, 8).tolist()
    assert sum(model.net.calls) == oracle.meter.forwards == int(outcome.forwards.sum())
    assert oracle.meter.backwards == int(outcome.backwards.sum())


@pytest.mark.parametrize("width", [3, 7, 64])
def test_attack_counts_add_up_when_samples_share_batches(toys, ladder, width):
    model = toys.line()
    oracle = Oracle(model)
    outcome = run(toys.Descend(0.1, 8), ladder, oracle, width=width)
    assert sum(model.net.calls) == oracle.meter.forwards == int(outcome.forwards.sum())
    alone = run(toys.Descend(0.1, 8), ladder, Oracle(toys.line()), width=1)
    assert torch.equal(outcome.backwards, alone.backwards)  # each sample's own, whoever shares its batches
    assert oracle.meter.backwards > int(outcome.backwards.sum())  # what was spent on those that needed no more
    assert bool((outcome.seconds > 0).all())


def test_the_time_is_shared_out(toys, ladder):
    began = time.perf_counter()
    outcome = run(toys.Descend(0.1, 8), ladder, Oracle(toys.line()), width=12)
    assert 0 < float(outcome.seconds.sum()) <= time.perf_counter() - began


def test_refill_keeps_the_batch_full(toys, ladder):
    search = toys.Descend(0.1, 8)
    run(search, ladder, Oracle(toys.line()), width=4)
    # Four are in work as long as samples wait; each leaves at its own time and another takes its place at once.
    total = sum(int(s) for s in torch.where(torch.arange(12) + 1 < 8, torch.arange(12) + 2, 8))
    assert sum(search.widths) == total
    full = [w == 4 for w in search.widths]
    assert all(full[: full.index(False)])
    assert not any(full[full.index(False) :])
    assert full.count(True) >= (total - 3 * 8) / 4


def test_a_model_of_limit_4_never_sees_more(toys, ladder):
    model = toys.line()
    outcome = run(toys.Descend(0.1, 8), ladder, Oracle(model, limit=4))
    assert max(model.net.calls) == 4
    assert int(outcome.stopped.sum()) == 7


def test_whole_keeps_everyone_to_the_end(toys, ladder):
    search = toys.Descend(0.1, 5)
    outcome = run(search, ladder, Oracle(toys.line(), limit=64), whole=True, width=3)
    assert search.widths == [12] * 5
    assert outcome.steps.tolist() == [5] * 12
    assert not bool(outcome.stopped.any())
    assert torch.allclose(outcome.result.x, ladder.images - 0.5, atol=1e-6)


def test_order_of_the_batch_does_not_matter(toys, ladder):
    order = order_of(ladder)
    straight = run(toys.Descend(0.1, 8), ladder, Oracle(toys.line()), width=5)
    shuffled = run(toys.Descend(0.1, 8), ladder[order], Oracle(toys.line()), width=5)
    assert torch.equal(straight.result.x[order], shuffled.result.x)
    assert torch.equal(straight.stopped[order], shuffled.stopped)
    assert torch.equal(straight.steps[order], shuffled.steps)


def test_observers_see_every_answer_and_every_success(toys, ladder):
    seen, sure = [], {}
    outcome = run(
        toys.Descend(0.1, 8),
        ladder,
        Oracle(toys.line()),
        width=5,
        observe=lambda place, step, answer: seen.extend(zip(place.tolist(), step.tolist(), strict=True)),
        confirmed=lambda place, logits: sure.update(zip(place.tolist(), logits.tolist(), strict=True)),
    )
    expected = [(i, s) for i in range(12) for s in range(int(outcome.steps[i]))]
    assert sorted(seen) == expected
    assert sorted(sure) == outcome.stopped.nonzero().flatten().tolist()
    assert all(z[1] < 0 for z in sure.values())


def test_progress_is_told_of_every_sample(toys, ladder):
    events = []
    with listening(events.append), track("attack", len(ladder)) as task:
        run(toys.Descend(0.1, 8), ladder, Oracle(toys.line()), width=5, progress=task)
    assert events[-1].done == 12
    assert events[-1].closed


def test_an_empty_batch_has_an_empty_outcome(toys, ladder):
    outcome = run(toys.Descend(0.1, 8), ladder[slice(0, 0)], Oracle(toys.line()))
    assert outcome.result.x.shape == (0, 1, 1, 1)
    assert outcome.stopped.tolist() == []
    assert outcome.forwards.tolist() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_samples_with_nothing_to_ask_leave_at_the_start(toys, ladder, width):
    model = toys.line()
    outcome = run(toys.Descend(0.1, 0), ladder, Oracle(model), width=width)
    assert torch.equal(outcome.result.x, ladder.images)
    assert outcome.steps.tolist() == [0] * 12
    assert model.net.calls == []


class Shifted(nn.Module):
    """A search copy that sees every image darker than it is, so that its successes come too early."""

    def __init__(self, net: nn.Module, by: float) -> None:
        super().__init__()
        self.net, self.by = net, by

    def forward(self, x):
        return self.net(x - self.by)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_success_that_float32_refutes_re_enters(toys, ladder, width):
    model = toys.line()
    oracle = Oracle(model, search_copy=Shifted(model.net, 0.2))
    search = toys.Descend(0.1, 8)
    outcome = run(search, ladder, oracle, width=width)
    needed = torch.arange(12) + 1
    won = needed < 8
    assert outcome.stopped.tolist() == won.tolist()  # as without the copy: nothing is lost and nothing is believed
    assert outcome.steps.tolist() == torch.where(won, needed + 1, 8).tolist()
    assert all(bool((g != 0).all()) for g in search.gradients)
    assert sum(model.net.calls) == oracle.meter.forwards == int(outcome.forwards.sum())
    assert bool((model(outcome.result.x).argmax(1) == 0)[won].all())
    assert outcome.backwards.tolist() == torch.where(won, needed, 8).tolist()  # whatever the width
    assert oracle.meter.backwards >= int(outcome.backwards.sum())


def test_a_refuted_success_keeps_its_gradient_when_another_piece_of_the_batch_went_on(toys):
    """Two pieces: in the first the copy believes in success for all rows and leaves the gradient out."""
    images = torch.tensor([0.1, 0.1, 0.9, 0.9]).view(4, 1, 1, 1)
    batch = Batch(images, torch.ones(4, dtype=torch.int64), tuple("abcd"))
    model = toys.line()
    search = toys.Descend(0.04, 6)
    outcome = run(search, batch, Oracle(model, limit=2, search_copy=Shifted(model.net, 0.2)), width=4)
    assert outcome.stopped.tolist() == [True, True, False, False]
    assert outcome.steps.tolist() == [4, 4, 6, 6]  # 0.1 - 3 * 0.04 < 0


# The sequential certificate.


@pytest.fixture
def tosses():
    """Single pixels m with the vote of class 1 at probability Phi(m / 0.5): sure, nearly even, and sure of class 0."""
    values = torch.tensor([9.0, 0.0, -9.0, 0.3, 9.0, -0.3, 9.0, 9.0, 9.0])
    return Batch(values.view(-1, 1, 1, 1), None, tuple(f"t{i}" for i in range(9)))


@pytest.mark.parametrize("width", WIDTHS)
def test_certificate_stops_when_the_bound_decides(toys, tosses, width):
    oracle = Oracle(toys.line())
    outcome = run(toys.Sequential(0.5, 5, 200, 0.001), tosses, oracle, width=width)
    result = outcome.result
    sure = tosses.images.flatten().abs() == 9
    # n equal votes decide when 0.001 ** (1 / n) > 1/2, that is n >= 10; votes come in fives.
    assert math.ceil(math.log(0.001) / math.log(0.5)) == 10
    assert set(result.drawn[sure].tolist()) == {10}
    assert result.verdict[sure].tolist() == [1, -1, 1, 1, 1, 1]
    assert torch.equal(outcome.forwards, result.drawn)
    assert oracle.meter.forwards == int(result.drawn.sum())


@pytest.mark.parametrize("width", WIDTHS)
def test_certificate_equals_a_plain_loop(toys, tosses, width):
    got = run(toys.Sequential(0.5, 5, 60, 0.01), tosses, Oracle(toys.line()), width=width).result
    for i, name in enumerate(tosses.ids):
        rng, ones, drawn, verdict = SampleRng.of(0, "toy", [name]), 0, 0, 0
        while verdict == 0 and drawn < 60:
            for _ in range(5):
                ones += float(tosses.images[i] + 0.5 * rng.fold(drawn).noise(1, 1, 1)) > 0
                drawn += 1
            verdict = toys.side(ones, drawn, 0.01)
        assert (int(got.ones[i]), int(got.drawn[i]), int(got.verdict[i])) == (ones, drawn, verdict)


def test_certificate_lets_the_undecided_share_the_batch(toys, tosses):
    model = toys.line()
    run(toys.Sequential(0.5, 5, 30, 1e-9), tosses[torch.tensor([0, 1, 2])], Oracle(model), width=3)
    assert model.net.calls == [3 * 5] * 6  # alpha needs 30 equal votes: all stay
    model = toys.line()
    run(toys.Sequential(0.5, 5, 30, 0.001), tosses[torch.tensor([0, 1, 2])], Oracle(model), width=3)
    assert model.net.calls[:2] == [3 * 5] * 2
    assert set(model.net.calls[2:]) == {5}  # the sure ones have left; the even one goes on alone


def test_whole_waits_for_the_last(toys, tosses):
    """Sure of two after 10 votes, undecided about the third: nobody leaves before all may."""
    model = toys.line()
    outcome = run(toys.Sequential(0.5, 5, 30, 0.001), tosses[torch.tensor([0, 1, 2])], Oracle(model), whole=True)
    assert outcome.result.drawn.tolist() == [30] * 3
    assert model.net.calls == [3 * 5] * 6


# The detector.


@pytest.mark.parametrize("width", WIDTHS)
def test_odin_equals_a_plain_loop(toys, tiny, batch, width):
    oracle = Oracle(tiny)
    outcome = run(toys.Odin(10.0, 0.02), batch, oracle, width=width)
    for i in range(len(batch)):
        x = batch.images[i : i + 1].clone().requires_grad_(True)
        (-torch.log_softmax(tiny(x) / 10.0, 1).max()).backward()
        y = x.detach() - 0.02 * x.grad.sign()
        expected = -float(torch.softmax(tiny(y).detach() / 10.0, 1).max())
        assert float(outcome.result.score[i]) == pytest.approx(expected, abs=1e-6)
    assert outcome.forwards.tolist() == [2] * 13
    assert outcome.backwards.tolist() == [1] * 13


# The explanation.


@pytest.mark.parametrize("limit", [1, 7, 64])
def test_occlusion_equals_a_plain_loop(toys, tiny, batch, limit):
    oracle = Oracle(tiny, limit=limit)
    outcome = run(toys.Occlusion(4), batch, oracle)
    assert outcome.result.drop.shape == (13, 4)
    for n in range(13):
        logits = tiny(batch.images[n : n + 1])[0].detach()
        top = int(logits.argmax())
        for place, (i, j) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
            image = batch.images[n : n + 1].clone()
            image[..., i : i + 4, j : j + 4] = 0.5
            fall = float(logits[top] - tiny(image)[0, top].detach())
            assert float(outcome.result.drop[n, place]) == pytest.approx(fall, abs=1e-5)
    assert outcome.forwards.tolist() == [5] * 13
    assert oracle.meter.largest_batch <= limit


def test_searches_leave_the_model_as_it_was(toys, tiny, batch):
    before = {k: v.clone() for k, v in tiny.state_dict().items()}
    for search in (toys.Odin(1.0, 0.1), toys.Occlusion(4)):
        run(search, batch, Oracle(tiny))
    assert all(torch.equal(v, before[k]) for k, v in tiny.state_dict().items())
    assert all(p.grad is None for p in tiny.parameters())


def test_a_model_that_is_a_classifier_without_parameters_will_do(toys):
    assert Oracle(Classifier(toys.Line(0.0))).device == torch.device("cpu")
