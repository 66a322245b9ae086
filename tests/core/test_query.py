"""Each kind of question, against the model asked directly."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Answer, Classifier, Features, Gradient, Labels, Logits, Oracle, SampleRng, Votes
from unshaken.core.query import Goal, Objective, Slopes


class Squares(Objective):
    """The sum of squared logits, and of the stem's features where they are given."""

    def __call__(self, answer):
        total = answer.logits.square().sum(1)
        return total + answer.features["stem"].flatten(1).sum(1) if answer.features else total


class Above(Goal):
    """The first logit is above a threshold."""

    least: float

    def __call__(self, points, logits):
        return logits[:, 0] > self.least


class Always(Goal):
    def __call__(self, points, logits):
        return torch.ones(len(points), dtype=torch.bool)


def test_logits_of_one_point_and_of_several(tiny, batch):
    expected = tiny(batch.images).detach()
    answer = Oracle(tiny).ask(Logits(batch.images))
    assert torch.allclose(answer.logits, expected)
    assert torch.equal(answer.labels, expected.argmax(1))
    several = torch.stack([batch.images, 1 - batch.images], 1)
    answer = Oracle(tiny).ask(Logits(several))
    assert answer.logits.shape == (13, 2, 3)
    assert torch.allclose(answer.logits[:, 1], tiny(1 - batch.images).detach(), atol=1e-6)
    assert answer.forwards.tolist() == [2] * 13
    assert answer.labels.shape == (13, 2)


def test_labels_withhold_the_logits(tiny, batch):
    answer = Oracle(tiny).ask(Labels(batch.images))
    assert answer.logits is None
    assert torch.equal(answer.labels, tiny(batch.images).argmax(1))


def test_a_goal_is_tested_on_the_way(tiny, batch):
    first = tiny(batch.images)[:, 0].detach()
    least = float(first.sort().values[6:8].mean())  # between two of them
    expected = first > least
    assert 0 < int(expected.sum()) < 13
    for query in (Logits(batch.images), Labels(batch.images), Gradient(batch.images, of=Squares())):
        assert torch.equal(Oracle(tiny).ask(query, Above(least)).stopped, expected)
        assert Oracle(tiny).ask(query).stopped is None


def test_features_of_one_point_and_of_several(tiny, batch):
    stem = tiny.net.stem(batch.images).detach()
    answer = Oracle(tiny).ask(Features(batch.images, layers=("stem", "head")))
    assert torch.allclose(answer.features["stem"], stem, atol=1e-6)
    assert torch.allclose(answer.features["head"], answer.logits)
    several = batch.images[:, None].expand(-1, 3, -1, -1, -1)
    answer = Oracle(tiny, limit=5).ask(Features(several, layers=("stem",)))
    assert answer.features["stem"].shape == (13, 3, 4, 8, 8)
    assert torch.allclose(answer.features["stem"][:, 2], stem, atol=1e-6)


@pytest.mark.parametrize("limit", [1, 5, 64])
@pytest.mark.parametrize("layers", [(), ("stem",)])
def test_gradients_are_autograds_own(tiny, batch, limit, layers):
    x = batch.images.clone().requires_grad_(True)
    value = tiny(x).square().sum(1)
    if layers:
        value = value + tiny.net.stem(x).flatten(1).sum(1)
    (expected,) = torch.autograd.grad(value.sum(), x)
    answer = Oracle(tiny, limit=limit).ask(Gradient(batch.images, of=Squares(), layers=layers))
    assert torch.allclose(answer.gradient, expected, atol=1e-5)
    assert torch.allclose(answer.value, value.detach(), atol=1e-4)
    assert not answer.value.requires_grad
    assert (answer.forwards.tolist(), answer.backwards.tolist()) == ([1] * 13, [1] * 13)
    assert batch.images.requires_grad is False
    assert all(p.grad is None for p in tiny.parameters())


@pytest.mark.parametrize("layers", [(), ("stem",)])
def test_no_backward_pass_where_every_goal_is_met(tiny, batch, layers):
    oracle = Oracle(tiny)
    answer = oracle.ask(Gradient(batch.images, of=Squares(), layers=layers), Always())
    assert (oracle.meter.forwards, oracle.meter.backwards) == (13, 0)
    assert answer.gradient is None
    assert bool(answer.cut.all())
    assert torch.allclose(answer.logits, tiny(batch.images).detach())


@pytest.mark.parametrize("layers", [(), ("stem",)])
def test_pieces_with_and_without_a_gradient_are_joined(tiny, batch, layers):
    """Two images a piece: where both meet the goal, the rest of that piece is left out and says so."""
    first, order = tiny(batch.images)[:, 0].detach().sort()
    images, least = batch.images[order], float(first[5] + first[6]) / 2
    hit = (first > least).tolist()
    pieces = [hit[i : i + 2] for i in range(0, 13, 2)]
    cut = [all(p) for p in pieces for _ in p]
    assert 0 < sum(cut) < 13
    oracle = Oracle(tiny, limit=2)
    answer = oracle.ask(Gradient(images, of=Squares(), layers=layers), Above(least))
    assert answer.cut.tolist() == cut
    assert answer.backwards.tolist() == [int(not c) for c in cut]
    assert oracle.meter.backwards == 13 - sum(cut)
    full = Oracle(tiny).ask(Gradient(images, of=Squares(), layers=layers))
    kept = ~torch.tensor(cut)
    assert torch.allclose(answer.gradient[kept], full.gradient[kept], atol=1e-5)
    assert bool((answer.gradient[~kept] == 0).all())


def test_votes_are_counted_draw_by_draw(tiny, batch):
    rng = SampleRng.of(0, "votes", batch.ids)
    first = torch.arange(13)
    answer = Oracle(tiny).ask(Votes(batch.images, rng, first, torch.full((13,), 6), 0.5))
    counts = torch.zeros(13, 3, dtype=torch.int64)
    for i in range(13):
        for j in range(6):
            noise = rng.fold(int(first[i]) + j).noise(1, 8, 8)[i]
            counts[i, int(tiny(batch.images[i : i + 1] + 0.5 * noise).argmax())] += 1
    assert torch.equal(answer.counts, counts)
    assert answer.forwards.tolist() == [6] * 13
    assert int((counts > 0).sum()) > 13  # the noise changes some answers


def test_votes_can_be_drawn_in_parts(tiny, batch):
    rng = SampleRng.of(0, "votes", batch.ids)

    def ask(first, draws, limit=256):
        draws = draws if isinstance(draws, torch.Tensor) else torch.full((13,), draws)
        at = first if isinstance(first, torch.Tensor) else torch.full((13,), first)
        return Oracle(tiny, limit=limit).ask(Votes(batch.images, rng, at, draws, 0.5)).counts

    assert torch.equal(ask(0, 7), ask(0, 3) + ask(3, 4))
    some = torch.arange(13) % 5
    assert torch.equal(ask(0, 7, limit=3), ask(0, some) + ask(some, 7 - some, limit=10))
    assert torch.equal(ask(0, some).sum(1), some)
    assert torch.equal(ask(0, 0), torch.zeros(13, 3, dtype=torch.int64))


def test_a_constant_output_has_a_zero_gradient(batch):
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 2.0]]).repeat(len(x), 1)

    answer = Oracle(Classifier(Constant())).ask(Gradient(batch.images, of=Squares()))
    assert torch.equal(answer.gradient, torch.zeros_like(batch.images))


def test_answers_are_rows():
    answer = Answer(logits=torch.arange(6.0).view(3, 2), features={"a": torch.arange(3.0)})
    part = answer[torch.tensor([2])]
    assert part.logits.tolist() == [[4.0, 5.0]]
    assert part.features["a"].tolist() == [2.0]
    assert part.gradient is None


CLASSES = torch.tensor([[0, 2, 1]]).expand(13, 3)
LABELS = torch.arange(13) % 3


def differences(model, images):
    """The gradient of each `z_k - z_y` by autograd, asked for one at a time."""
    found = []
    for k in range(3):
        x = images.clone().requires_grad_(True)
        z = model(x)
        rows = torch.arange(len(x))
        found.append(torch.autograd.grad((z[rows, CLASSES[:, k]] - z[rows, LABELS]).sum(), x)[0])
    return torch.stack(found, 1)


@pytest.mark.parametrize("limit", [1, 5, 64])
def test_slopes_are_gradients_of_differences(tiny, batch, limit):
    oracle = Oracle(tiny, limit=limit)
    answer = oracle.ask(Slopes(batch.images, labels=LABELS, classes=CLASSES))
    assert answer.slopes.shape == (13, 3, 1, 8, 8)
    assert torch.allclose(answer.slopes, differences(tiny, batch.images), atol=1e-6)
    assert torch.allclose(answer.logits, tiny(batch.images).detach(), atol=1e-6)
    own = LABELS[:, None] == CLASSES
    assert bool((answer.slopes[own] == 0).all())
    assert (answer.forwards.tolist(), answer.backwards.tolist()) == ([1] * 13, [3] * 13)
    assert (oracle.meter.forwards, oracle.meter.backwards) == (13, 39)


def test_slopes_are_left_out_where_every_goal_is_met(tiny, batch):
    oracle = Oracle(tiny)
    answer = oracle.ask(Slopes(batch.images, labels=LABELS, classes=CLASSES), Always())
    assert answer.slopes is None
    assert bool(answer.cut.all())
    assert (oracle.meter.forwards, oracle.meter.backwards) == (13, 0)


def test_pieces_with_and_without_slopes_are_joined(tiny, batch):
    first, order = tiny(batch.images)[:, 0].detach().sort()
    images, least = batch.images[order], float(first[5] + first[6]) / 2
    answer = Oracle(tiny, limit=1).ask(Slopes(images, labels=LABELS, classes=CLASSES), Above(least))
    assert answer.cut.tolist() == (first > least).tolist()
    expected = differences(tiny, images)
    assert torch.allclose(answer.slopes[~answer.cut], expected[~answer.cut], atol=1e-6)
    assert bool((answer.slopes[answer.cut] == 0).all())


class Successive(torch.nn.Module):
    """Logits 1, 2, 3, ... times (0, sum, 2 sum) in successive passes."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += 1
        return self.count * x.flatten(1).sum(1, keepdim=True) * torch.tensor([0.0, 1.0, 2.0])


def test_draws_are_averaged_whatever_is_asked(batch):
    total = batch.images.flatten(1).sum(1)
    (logits, slopes) = (
        Oracle(Classifier(Successive()), draws=4).ask(q)
        for q in (Logits(batch.images), Slopes(batch.images, labels=LABELS * 0, classes=CLASSES))
    )
    mean = 2.5  # of 1, 2, 3, 4
    for answer in (logits, slopes):
        assert torch.allclose(answer.logits, mean * total[:, None] * torch.tensor([0.0, 1.0, 2.0]), rtol=1e-5)
        assert answer.forwards.tolist() == [4] * 13
    expected = mean * torch.tensor([0.0, 2.0, 1.0]).view(1, 3, 1, 1, 1).expand(13, 3, 1, 8, 8)
    assert torch.allclose(slopes.slopes, expected)
    assert slopes.backwards.tolist() == [12] * 13


def test_logits_can_be_used_where_gradients_are_on(tiny, batch):
    """They come from inference mode; autograd refuses such tensors unless they are copied."""
    answer = Oracle(tiny).ask(Logits(batch.images))
    weight = torch.ones(3, requires_grad=True)
    (gradient,) = torch.autograd.grad((answer.logits * weight).sum(), weight)
    assert torch.allclose(gradient, answer.logits.sum(0))
