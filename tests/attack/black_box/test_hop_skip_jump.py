"""HopSkipJump: the exact distance of affine models, the stages of its search, and its count of queries."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.attack.black_box.hop_skip_jump import FEEL, JUMP, NEAR, SEEK, HopSkipJump
from unshaken.attack.engine.attack_run import AttackContext
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.core.query import Answer, Labels
from unshaken.data.arrays import InMemory


def affine(make, n=8):
    """An affine model of 4 x 4 images near grey, whose boundary is met before any wall."""
    w = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = 0.5 + 0.08 * (make.images(n, 1, 4, 4) - 0.5)
    raw = (images * w).flatten(1).sum(1)
    margin = raw - raw.min() + 0.2
    model = make.affine(w, 0.2 - float(raw.min()))
    return model, Batch(images, torch.zeros(n, dtype=torch.int64), tuple(f"s{i}" for i in range(n))), w, margin


@pytest.fixture(scope="module")
def walked():
    """From a norm to the budget of half of the samples, and what is found within it and within any."""
    known = {}

    def walk(make, norm, dual):
        if norm not in known:
            model, batch, w, margin = affine(make)
            exact = margin / float(torch.linalg.vector_norm(w, dual))
            eps = float(exact.median()) * 1.001
            found, _ = HopSkipJump(steps=8).attack(Oracle(model), batch, norm=norm, eps=[eps, math.inf])
            known[norm] = batch, exact, eps, *found
        return known[norm]

    return walk


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2.0), ("linf", 1.0)])
def test_the_distance_of_an_affine_model_is_approached_from_above(make, walked, norm, dual):
    _, exact, _, _, got = walked(make, norm, dual)
    assert bool(got.fooled.all())
    ratio = got.distance / exact
    assert float(ratio.min()) > 1 - 1e-5
    assert float(ratio.max()) < 1.1
    assert float(ratio.median()) < 1.04


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2.0), ("linf", 1.0)])
def test_budgets_hold_those_who_are_near(make, walked, norm, dual):
    batch, exact, eps, some, every = walked(make, norm, dual)
    assert 0 < int(some.fooled.sum()) < len(batch)
    assert torch.equal(some.fooled, every.distance <= eps)
    assert not bool(some.fooled[exact > eps].any())
    assert torch.equal(some.images[~some.fooled], batch.images[~some.fooled])


def problem_of(images, norm, eps=math.inf):
    n = len(images)
    ball = Ball.of(images, torch.full((n,), eps), norm)
    return Problem(ball, torch.zeros(n, dtype=torch.int64), False, torch.zeros(n, 2))


def answered(attack, state, *labels):
    return attack.tell(state, Answer(labels=torch.tensor(labels)))


def test_only_labels_are_asked_for(make):
    attack = HopSkipJump()
    state = attack.start(problem_of(make.images(2, 1, 4, 4), "l2"), SampleRng.of(0, "h", ["a", "b"]))
    assert type(attack.ask(state)) is Labels


def test_rows_go_through_the_phases_each_at_its_own_pace(make):
    """Row 0 has its start at once, row 1 at the third draw; both halve the way to it as by hand."""
    images = make.images(2, 1, 4, 4)
    attack = HopSkipJump(initial_samples=3)
    state = attack.start(problem_of(images, "l2"), SampleRng.of(0, "h", ["a", "b"]))
    first = state.x[0]
    state = answered(attack, state, 1, 0)
    assert state.mode.tolist() == [NEAR, SEEK]
    assert torch.allclose(state.x[0], (images[0] + first) / 2, atol=1e-6)
    state = answered(attack, state, 1, 0)  # half the way fools: a quarter next
    assert torch.allclose(state.x[0], images[0] + (first - images[0]) / 4, atol=1e-6)
    third = state.x[1]
    state = answered(attack, state, 0, 1)  # a quarter does not: three eighths
    assert state.mode.tolist() == [NEAR, NEAR]
    assert torch.allclose(state.x[0], images[0] + (first - images[0]) * 3 / 8, atol=1e-6)
    assert torch.allclose(state.x[1], (images[1] + third) / 2, atol=1e-6)
    for _ in range(8):
        state = answered(attack, state, 1, 0)
    assert state.mode.tolist() == [FEEL, NEAR]  # 2^-10 of the way is fine enough
    near = images[0] + (first - images[0]) * (0.25 + 2**-10)
    assert torch.allclose(state.near[0], near, atol=1e-6)
    assert float((state.x[0] - near).norm()) <= 0.1 + 1e-6


def test_the_direction_is_the_mean_of_signed_draws_less_their_bias(make):
    """Three draws of answers +, +, -: the mean of (s_b - 1/3) u_b, made a unit vector; then a jump of the distance."""
    images = 0.4 + 0.2 * make.images(1, 1, 4, 4)
    attack = HopSkipJump(initial_samples=3)
    state = attack.start(problem_of(images, "l2"), SampleRng.of(0, "h", ["a"]))
    state = answered(attack, state, 1)
    while int(state.mode) == NEAR:
        state = answered(attack, state, 0)
    near, distance = state.near[0], float((state.near[0] - images[0]).norm())
    draws = []
    for label in (1, 1, 0):
        assert int(state.mode) == FEEL
        draws.append((state.x[0] - near) / 0.1)
        state = answered(attack, state, label)
    g = sum((s - 1 / 3) * u for s, u in zip((1, 1, -1), draws, strict=True))
    assert int(state.mode) == JUMP
    assert torch.allclose(state.x[0], (near + distance * g / g.norm()).clamp(0, 1), atol=1e-4)
    halved = answered(attack, state, 0)
    assert torch.allclose(halved.x[0], (near + distance / 2 * g / g.norm()).clamp(0, 1), atol=1e-4)
    assert answered(attack, halved, 1).mode.tolist() == [NEAR]


def test_in_linf_a_search_cuts_the_change_to_a_share_of_its_size(make):
    images = make.images(1, 1, 4, 4)
    attack = HopSkipJump()
    state = attack.start(problem_of(images, "linf"), SampleRng.of(0, "h", ["a"]))
    change = state.x - images
    state = answered(attack, state, 1)
    most = float(change.abs().max()) / 2
    assert torch.allclose(state.x, images + change.clamp(-most, most), atol=1e-6)


class Constant(nn.Module):
    """Always class 0."""

    def forward(self, x):
        return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)


def test_without_a_start_the_sample_stands_and_costs_the_draws(make):
    batch = Batch(make.images(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64), ("a", "b", "c"))
    model = Classifier(Constant(), name="constant").eval()
    (got,), _ = HopSkipJump(starts=7).attack(Oracle(model), batch, norm="l2", eps=[math.inf])
    assert got.fooled.tolist() == [False] * 3
    assert got.distance.tolist() == [math.inf] * 3
    assert torch.equal(got.images, batch.images)
    assert got.forwards.tolist() == [8] * 3  # and one last look


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_sample_costs_more_than_it_says(make, norm):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    attack = HopSkipJump(steps=3, initial_samples=20, max_samples=30)
    (got,), _ = attack.attack(Oracle(net), batch, norm=norm, eps=[math.inf])
    least, (most, backwards) = 20 + 28 + 30, attack.cost(3)
    assert backwards == 0
    assert most == 100 + 20 * 7 + least  # 20, floor(20 sqrt 2) and 30 draws
    found = got.fooled & (got.distance > 0)
    assert int(found.sum()) > 3
    assert int(got.forwards.max()) <= most + 5  # the last looks
    assert int(got.forwards[found].min()) >= least + 4 * 8


def test_company_changes_nothing(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    attack = HopSkipJump(steps=3, initial_samples=20)
    whole, other = (attack.attack(Oracle(net, limit=n), batch, norm="l2", eps=[math.inf])[0][0] for n in (64, 3))
    assert torch.equal(whole.fooled, other.fooled)
    assert torch.allclose(whole.distance, other.distance, rtol=0.02)


class Pulls(nn.Module):
    """Three classes with affine logits `s w_k . (x - 1/2)`, of orthonormal `w_k` that are zero but for a third each."""

    def __init__(self):
        super().__init__()
        w = torch.zeros(3, 12)
        w[torch.arange(12) // 4, torch.arange(12)] = 0.5
        self.register_buffer("w", w.view(3, 1, 3, 4))

    def forward(self, x):
        x = nn.functional.interpolate(x, (3, 4), mode="area")
        return ((x - 0.5).unsqueeze(1) * self.w).flatten(2).sum(2)


@pytest.fixture(scope="module")
def pulls():
    """The model, and images near grey; of class 0 six, of class 1 two, of class 2 none."""
    model = Pulls()
    towards = torch.tensor([[0.10, 0.02, 0], [0.12, 0, 0.05], [0.2, 0.1, 0], [0.15, 0, 0], [0.1, 0, 0.02],
                            [0.3, 0.1, 0.2], [0, 0.5, 0], [0, 0.9, 0]])  # fmt: skip
    images = 0.5 + (towards[..., None, None, None] * model.w).sum(1)
    labels = torch.tensor([0] * 6 + [1] * 2)
    return Classifier(model.eval(), name="pulls"), Batch(images, labels, tuple("abcdefgh")), towards


@pytest.mark.parametrize("target", [1, 2])
def test_a_target_is_approached_to_the_exact_distance_of_its_boundary(pulls, target):
    """The nearest point of the target's class lies where its logit meets the label's, `(z_y - z_t) / sqrt 2` away."""
    model, batch, towards = pulls
    rows = torch.arange(6)
    (got,), _ = HopSkipJump(steps=8).attack(
        Oracle(model), batch[rows], norm="l2", eps=[math.inf], targets=torch.full((6,), target)
    )
    assert bool(got.fooled.all())
    assert model(got.images).argmax(1).tolist() == [target] * 6
    exact = towards[:6, 0].double() - towards[:6, target].double()
    third = towards[:6, 3 - target].double()  # must not be above the two where they meet
    assert bool(((towards[:6, 0] + towards[:6, target]) / 2 >= third).all())
    ratio = got.distance / (exact / 2**0.5)
    assert float(ratio.min()) > 1 - 1e-5
    assert float(ratio.max()) < 1.1


def started(model, batch, rows, targets, **options):
    """The search of some images as a run begins it, with all images as its first samples."""
    oracle = Oracle(model)
    attack = HopSkipJump(**options)
    context = AttackContext(oracle, "l2", math.inf, 0, 3, reference=batch, targeted=True)
    (phase,), _ = attack.phases(context)
    ball = Ball.of(batch.images[rows], torch.full((len(rows),), math.inf), "l2")
    problem = Problem(ball, torch.tensor(targets), True, torch.zeros(len(rows), 3))
    return phase.search, phase.search.start(problem, SampleRng.of(0, "h", [batch.ids[r] for r in rows]))


def test_it_starts_from_the_nearest_image_of_the_target_or_from_noise(pulls):
    model, batch, _ = pulls
    attack, state = started(model, batch, [0, 6, 1], [1, 0, 2])
    assert torch.equal(state.x[0], batch.images[6]), "the nearer of the two of class 1"
    assert torch.equal(state.x[1], batch.images[2]), "(.2, .1, 0) is the nearest of class 0 to (0, .5, 0)"
    noise = HopSkipJump().start(state.problem, SampleRng.of(0, "h", ["a", "g", "b"])).x
    assert torch.equal(state.x[2], noise[2])
    state = answered(attack, state, 1, 1, 1)
    assert state.mode.tolist() == [NEAR, SEEK, SEEK], "only the answer that is the target counts"


def test_it_starts_from_images_of_a_spec_at_their_own_size(pulls, monkeypatch):
    model, batch, _ = pulls
    pictures = torch.stack([torch.zeros(1, 3, 4), model.net.w[2]]).mul(100).add(128).round().byte()
    large = pictures.repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = {"other": InMemory(large), "none": InMemory(large[:1], bad={0: "cut off"})}
    monkeypatch.setattr("unshaken.attack.engine.example_images.load_data", found.__getitem__)
    _, state = started(model, batch, [0], [2], start_images="other")
    assert float((state.x[0] - pictures[1] / 255).abs().max()) < 0.12
    assert int(model(state.x).argmax(1)) == 2
    with pytest.raises(ParameterError, match="hop-skip-jump: start_images='none' has no image that can be read"):
        started(model, batch, [0], [2], start_images="none")


def test_company_changes_nothing_towards_a_target(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    attack, targets = HopSkipJump(steps=3, initial_samples=20), (batch.labels + 1) % 3
    whole, other = (
        attack.attack(Oracle(net, limit=n), batch, norm="l2", eps=[math.inf], targets=targets)[0][0] for n in (64, 3)
    )
    assert torch.equal(whole.fooled, other.fooled)
    assert torch.allclose(whole.distance, other.distance, rtol=0.02)


@pytest.mark.parametrize(
    ("values", "words"), [({"steps": 0}, "steps=0"), ({"initial_samples": -1}, "initial_samples=-1")]
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^hop-skip-jump: {words}"):
        HopSkipJump(**values)


def at_the_boundary(make, **options):
    """The search of one image when it begins to feel for a direction."""
    images = 0.4 + 0.2 * make.images(1, 1, 8, 8)
    attack = HopSkipJump(**options)
    state = answered(attack, attack.start(problem_of(images, "l2"), SampleRng.of(0, "h", ["a"])), 1)
    while int(state.mode) == NEAR:
        state = answered(attack, state, 0)
    return images, attack, state


def test_where_all_draws_agree_their_mean_is_the_direction(make):
    images, attack, state = at_the_boundary(make, initial_samples=3)
    near, draws = state.near[0], []
    for _ in range(3):
        draws.append((state.x[0] - near) / 0.1)
        state = answered(attack, state, 0)
    g = -sum(draws)
    length = float((near - images[0]).norm())
    assert torch.allclose(state.x[0], (near + length * g / g.norm()).clamp(0, 1), atol=1e-4)


def test_a_jump_that_never_fools_is_given_up_after_twenty_halvings(make):
    images, attack, state = at_the_boundary(make, initial_samples=2)
    near = state.near[0]
    state = answered(attack, answered(attack, state, 1), 0)
    length = float(state.length)
    for count in range(1, 20):
        state = answered(attack, state, 0)
        assert (int(state.mode), int(state.count)) == (JUMP, count)
        assert float(state.length) == pytest.approx(length / 2**count)
    state = answered(attack, state, 0)
    assert int(state.mode) == NEAR
    assert torch.equal(state.far[0], near)
    assert torch.allclose(state.x[0], (images[0] + near) / 2, atol=1e-6)


def test_later_iterations_feel_nearer_and_jump_less_far(make):
    """delta is 0.03 of the distance, a jump the distance over the root of the number of the iteration."""
    images, attack, state = at_the_boundary(make, initial_samples=2)
    assert float(state.delta) == pytest.approx(0.1)
    state = answered(attack, answered(attack, state, 1), 0)
    state = answered(attack, state, 1)
    while int(state.mode) == NEAR:
        state = answered(attack, state, 0)
    distance = float((state.near - images).norm())
    assert (int(state.mode), int(state.iteration)) == (FEEL, 2)
    assert float(state.delta) == pytest.approx(0.03 * distance)
    assert float(state.length) == pytest.approx(distance / math.sqrt(2))


def test_starts_are_noise_then_blended_then_coarse(make):
    images = 0.4 + 0.2 * make.images(1, 1, 8, 12)
    attack = HopSkipJump()
    state = attack.start(problem_of(images, "l2"), SampleRng.of(0, "h", ["a"]))
    starts = []
    for _ in range(6):
        starts.append(state.x[0, 0])
        state = answered(attack, state, 0)
    assert [len((s * 1e5).round().unique()) for s in starts] == [96, 96, 16, 96, 96, 16]
    blocks = starts[2].view(4, 2, 4, 3).permute(0, 2, 1, 3).flatten(2)
    assert torch.allclose(blocks, blocks[..., :1].expand_as(blocks), atol=1e-6)
    spread = [float((s - images[0, 0]).abs().max()) for s in starts]
    assert min(spread[0], spread[3]) > 0.45  # noise alone is from 0 to 1
    blended = (starts[1] - images[0, 0]).abs().max(), (starts[4] - images[0, 0]).abs().max()
    assert blended[0] != blended[1]
    assert max(blended) < 0.6


def test_no_two_draws_of_a_sample_are_the_same(make):
    _, attack, state = at_the_boundary(make, initial_samples=3, max_samples=5)
    states = [
        state.replace(iteration=torch.tensor([t]), count=torch.tensor([c]), near=state.near)
        for t in range(1, 4)
        for c in range(6)
    ]
    assert len({tuple(attack._feeler(one)[0].flatten().tolist()) for one in states}) == 18
