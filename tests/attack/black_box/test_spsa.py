"""SPSA: the estimate against a loop and against the true gradient, and the affine threshold."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.black_box.spsa import SPSA
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.core import Oracle, SampleRng
from unshaken.core.errors import ParameterError


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_succeeds_iff_the_margin_is_below_the_dual_norm(make, norm, targeted):
    model, batch, threshold = make.spread(norm, 24)
    eps = float(threshold.quantile(0.5))
    targets = torch.ones(24, dtype=torch.int64) if targeted else None
    (got,), _ = SPSA(steps=30, samples=64, together=64).attack(
        Oracle(model), batch, norm=norm, eps=[eps], targets=targets
    )
    clear = (threshold > eps) | (threshold < 0.97 * eps)
    assert int(clear.sum()) > 18
    assert torch.equal(got.fooled[clear], (threshold < eps)[clear])
    assert 0 < int(got.fooled.sum()) < 24


def problem_of(net, images, labels, norm="linf", eps=0.1, targeted=False):
    ball = Ball.of(images, torch.full((len(images),), eps), norm)
    with torch.no_grad():
        return Problem(ball, labels, targeted, net(images))


def answered(attack, net, state):
    answer = Oracle(net).ask(attack.ask(state))
    return attack.tell(state, answer)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_estimate_is_the_mean_over_pairs_as_in_a_loop(make, targeted):
    net = make.net(classes=3)
    images = 0.2 + 0.6 * make.images(3, 1, 6, 5)
    labels = net(images).argmax(1)
    if targeted:
        labels = (labels + 1) % 3
    attack = SPSA(samples=6, together=2, delta=0.05)
    state = attack.start(problem_of(net, images, labels, targeted=targeted), SampleRng.of(0, "spsa", ["a", "b", "c"]))
    asked = []
    for _ in range(2):
        asked.append(attack.ask(state).points)
        state = answered(attack, net, state)

    def margin(x, y):
        z = net(x[None])[0].tolist()
        return z[y] - max(z[:y] + z[y + 1 :])

    with torch.no_grad():
        for i in range(3):
            y, expected = int(labels[i]), torch.zeros(1, 6, 5)
            pairs = [(points[i, p], points[i, p + 2]) for points in asked for p in range(2)][1:]
            for one, other in pairs:
                v = (one - images[i]) / 0.05
                assert torch.allclose(v.abs(), torch.ones_like(v), atol=1e-4)
                assert torch.allclose(one + other, 2 * images[i], atol=1e-6)
                expected += (margin(one, y) - margin(other, y)) / (2 * 0.05) * v / 5
            expected = expected if targeted else -expected
            assert torch.allclose(state.gradient[i], expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(asked[0][:, 0], images)  # the first pair is the point itself, twice
    assert torch.equal(asked[0][:, 2], images)


def test_many_pairs_come_near_the_true_gradient(make):
    w = torch.tensor([[1.0, -2.0], [0.5, 3.0]]).view(1, 2, 2)
    model = make.affine(w, 5.0)
    images = torch.full((4, 1, 2, 2), 0.5)
    attack = SPSA(samples=2000, together=2000)
    state = attack.start(
        problem_of(model, images, torch.zeros(4, dtype=torch.int64)), SampleRng.of(0, "spsa", list("abcd"))
    )
    now = answered(attack, model, state.replace(part=state.part))
    # After the whole step Adam's first moment is a tenth of the gradient of -margin = -(w.x + b).
    assert torch.allclose(now.first * 10, (-w).expand(4, 1, 2, 2), atol=0.35)
    assert torch.allclose(now.x, images - 0.1 * 0.1 * w.sign(), atol=1e-6)


def test_points_stay_in_the_box_and_pairs_keep_their_width_at_its_walls(make):
    images = torch.zeros(2, 1, 4, 4)
    images[1] = 1
    net = make.net(classes=3)
    attack = SPSA(samples=4, together=4, delta=0.2)
    state = attack.start(
        problem_of(net, images, torch.zeros(2, dtype=torch.int64)), SampleRng.of(0, "spsa", ["a", "b"])
    )
    points = attack.ask(state).points
    assert float(points.min()) >= 0
    assert float(points.max()) <= 1
    apart = (points[:, 1:4] - points[:, 5:]).abs()
    assert torch.allclose(apart, torch.full_like(apart, 0.4), atol=1e-6)


@pytest.mark.parametrize(("together", "pairs"), [(8, 8), (7, 6), (5, 4), (1, 1), (100, 24)])
def test_a_step_is_asked_in_equal_parts(together, pairs):
    assert SPSA(samples=24, together=together).pairs == pairs


def test_a_survivor_costs_two_passes_a_pair(make):
    model, batch, threshold = make.spread("linf", 24)
    attack = SPSA(steps=3, samples=10, together=5)
    (got,), _ = attack.attack(Oracle(model), batch, norm="linf", eps=[0.3 * float(threshold.min())])
    assert not bool(got.fooled.any())
    assert attack.cost(2) == (60, 0)
    assert got.forwards.tolist() == [61] * 24  # and one last look


def test_company_and_batch_size_change_nothing(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(10, 1, 8, 8))
    attack = SPSA(steps=4, samples=8, together=4)
    whole, other = (attack.attack(Oracle(net, limit=n), batch, norm="l2", eps=[1.5])[0][0] for n in (64, 3))
    assert torch.equal(whole.fooled, other.fooled)
    assert torch.allclose(whole.images, other.images, atol=1e-4)
    assert 0 < int(whole.fooled.sum()) < 10


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"samples": 1}, "samples=1"),
        ({"delta": 0.0}, "delta=0.0"),
        ({"delta": 0.6}, "delta=0.6"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^spsa: {words}"):
        SPSA(**values)


def test_steps_are_those_of_adam(make):
    """In linf along its update, with moments and count of its own for each sample; the others stay as they are."""
    net = make.net(classes=3)
    images = torch.full((2, 1, 3, 3), 0.5)
    attack = SPSA(steps=9, rel_stepsize=0.1)
    start = attack.start(
        problem_of(net, images, torch.zeros(2, dtype=torch.int64), eps=0.4), SampleRng.of(0, "spsa", ["a", "b"])
    )
    gradients = torch.randn(4, 2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    x = images[:1].clone().requires_grad_(True)
    adam, state = torch.optim.Adam([x], lr=0.1 * 0.4), start
    for number, gradient in enumerate(gradients):
        state = attack._stepped(state.replace(gradient=gradient), torch.tensor([0]))
        x.grad = -gradient[:1]
        adam.step()
        assert torch.allclose(state.x[:1], x.detach(), atol=1e-6)
        assert state.step.tolist() == [number + 1, 0]
        assert not bool(state.gradient[0].any())
        assert torch.equal(state.gradient[1], gradient[1])
    assert torch.equal(state.x[1], images[1])


def test_signs_differ_from_part_to_part_and_step_to_step(make):
    net = make.net(classes=3)
    attack = SPSA(samples=6, together=2)
    state = attack.start(
        problem_of(net, make.images(1, 1, 6, 6), torch.zeros(1, dtype=torch.int64)), SampleRng.of(0, "spsa", ["a"])
    )
    seen = set()
    for step in range(3):
        for part in range(3):
            signs = attack._signs(state.replace(step=torch.tensor([step]), part=torch.tensor([part])))
            assert set(signs.unique().tolist()) == {-1.0, 1.0}
            seen |= {tuple(s.flatten().tolist()) for s in signs[0]}
    assert len(seen) == 18
