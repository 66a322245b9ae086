"""`descend` against a plain loop by hand."""

import math

import pytest
import torch

from unshaken.core.descent import descend, rate
from unshaken.core.errors import RunError
from unshaken.core.progress import listening
from unshaken.core.rng import SampleRng


def test_it_is_plain_gradient_descent_at_the_rates_of_its_schedule():
    """The loss `x^2 / 2` of one number under SGD without momentum: `x <- x - lr r_k x`."""
    x = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    seen, steps, streams = [], [], []

    def loss(rows, rng):
        seen.append(rows.tolist())
        streams.append(rng.keys.tolist())
        return x.square().sum() / 2

    losses = descend(
        torch.optim.SGD([x], lr=0.5), loss, 5, steps=4, batch_size=2, seed=0, name="toy", warmup=2,
        after_step=steps.append,
    )  # fmt: skip
    expected, value = [], 3.0
    for k in range(4):
        expected.append(value**2 / 2)
        value *= 1 - 0.5 * rate(k, 4, 2)
    assert losses == pytest.approx(expected)
    assert x.item() == pytest.approx(value)
    assert steps == [0, 1, 2, 3]
    keys = SampleRng.of(0, "toy", [str(i) for i in range(5)])
    for epoch in (0, 1):  # of five samples the fifth fills no batch
        order = SampleRng.of(0, "toy/order", [str(epoch)]).uniform(5)[0].argsort().tolist()
        batches = [order[:2], order[2:4]]
        assert seen[2 * epoch :][:2] == batches
        assert streams[2 * epoch :][:2] == [keys[torch.tensor(rows)].fold(epoch).keys.tolist() for rows in batches]


def test_the_rate_rises_in_a_line_and_falls_along_half_a_cosine():
    rates = [rate(k, 100, 10) for k in (0, 4, 9, 10, 40, 55, 70)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
    assert [rate(k, 4, 20) for k in range(4)] == pytest.approx([0.5, 1.0, 1.0, 0.5])  # at most half the steps
    assert rate(0, 1, 20) == 1.0


def test_the_order_may_have_a_stream_of_its_own():
    seen, events = [], []
    x = torch.zeros(1, requires_grad=True)

    def loss(rows, rng):
        seen.append(rows.tolist())
        return x.sum()

    options = {"steps": 2, "batch_size": 9, "seed": 3, "name": "toy", "order": "mine"}
    with listening(events.append):
        assert descend(torch.optim.SGD([x], lr=0.1), loss, 6, **options)[0] == 0.0
    assert [(e.name, e.done, e.total) for e in events[:3]] == [("training toy", k, 2) for k in range(3)]
    assert seen == [SampleRng.of(3, "mine", [str(e)]).uniform(6)[0].argsort().tolist() for e in (0, 1)]


def test_the_gradient_is_clipped():
    x = torch.tensor([30.0, 40.0], dtype=torch.float64, requires_grad=True)
    options = {"steps": 1, "batch_size": 1, "seed": 0, "name": "toy", "warmup": 0}
    descend(torch.optim.SGD([x], lr=1.0), lambda rows, rng: x.square().sum() / 2, 1, clip=5.0, **options)
    assert x.tolist() == pytest.approx([27.0, 36.0], abs=1e-5)  # a step of length 5 towards 0


def test_a_loss_that_is_no_number_stops_before_the_weights_do():
    x = torch.tensor([1.0], requires_grad=True)
    values = iter([1.0, math.nan])
    with pytest.raises(RunError, match=r"toy: the loss is nan at step 2 of 9: lower lr \(it was 0.25\)"):
        descend(
            torch.optim.SGD([x], lr=0.25), lambda rows, rng: x.sum() * next(values), 4, steps=9, batch_size=4, seed=0,
            name="toy",
        )  # fmt: skip
    assert math.isfinite(x.item())
