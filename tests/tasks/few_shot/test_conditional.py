"""The conditional head: its size, its parts, what it is symmetric in and what not, and its training."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.tasks.few_shot.conditional import ConditionalHead, correlation, position_code
from unshaken.tasks.few_shot.pair_training import draw_partners, pair_loss, score_pairs, separation, train_pairs


def maps(n, seed=0, channels=16, side=3):
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def head():
    torch.manual_seed(0)
    return ConditionalHead(16, 3, hidden=24).eval()


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("channels", "side", "hidden", "expected"),
    [(640, 14, 2048, 18_642_791), (64, 7, 2048, 5_058_812), (64, 7, 256, 232_956)],
)
def test_the_parameters_are_those_of_the_publication(channels, side, hidden, expected):
    with torch.device("meta"):
        head = ConditionalHead(channels, side, hidden=hidden)
    assert size(head) == expected


@pytest.mark.parametrize(("channels", "side", "millions"), [(2048, 7, 96.54), (384, 1, 11.29), (320, 7, 9.78)])
def test_the_parameters_for_other_networks(channels, side, millions):
    with torch.device("meta"):
        assert round(size(ConditionalHead(channels, side)) / 1e6, 2) == millions


@pytest.mark.parametrize(("channels", "expected"), [(640, 6_729_088), (384, 3_055_232)])
def test_the_parameters_of_cross_attention(channels, expected):
    with torch.device("meta"):
        head = ConditionalHead(channels, 7)
    assert size(head.cross) == expected
    assert size(head.correlation) == 9 * 7**2 + 3


def test_the_correlation_of_the_other_side_is_its_transpose(head):
    s, q = maps(2), maps(2, 1)
    pairs = correlation(s, q)
    assert float(pairs[1, 0, 2, 1, 1]) == pytest.approx(float(s[1, :, 0, 2] @ q[1, :, 1, 1]), rel=1e-5)
    torch.testing.assert_close(correlation(q, s), pairs.permute(0, 3, 4, 1, 2))
    one, other = head.correlation(s, q)
    assert one.shape == other.shape == (2, 1, 3, 3)
    torch.testing.assert_close(head.correlation(q, s)[0], other)


def test_the_two_streams_differ(head):
    s, q = maps(2), maps(2, 1)
    first, second = head.cross(s, s)
    assert not torch.allclose(first, second)
    assert not torch.allclose(head(s, q), head(q, s))
    assert bool((head(s, s) < 1 - 1e-4).all())


def test_without_what_the_head_adds_it_is_the_cosine_of_pooled_maps(head):
    with torch.no_grad():
        head.self_attention.last.weight.zero_()
        head.self_attention.last.bias.zero_()
    s, q = maps(4), maps(4, 1)
    torch.testing.assert_close(head(s, q), F.cosine_similarity(q.mean((2, 3)), s.mean((2, 3))))


def test_a_score_depends_on_its_own_pair_alone(head):
    s, q = maps(3), maps(4, 1)
    matrix = score_pairs(head, s, q)
    torch.testing.assert_close(matrix[2, 1], head(s[1:2], q[2:3])[0].detach())
    torch.testing.assert_close(score_pairs(head, s[[2, 0, 1]], q), matrix[:, [2, 0, 1]])


def test_the_control_has_no_conditioning():
    torch.manual_seed(0)
    head = ConditionalHead(16, 3, hidden=24, conditional=False).eval()
    s, q = maps(2), maps(2, 1)
    found = head.represent(s, q)
    assert float(found.query_map.abs().max()) == 0
    torch.testing.assert_close(head.represent(s, maps(2, 5)).support, found.support)  # whatever the query


def test_the_position_code():
    code = position_code(torch.zeros(1, 16, 4, 4))
    assert float(code.abs().max()) <= 1
    assert float(code[0, 0, 0]) == pytest.approx(math.sin(2 * math.pi / 4), abs=1e-5)
    assert torch.equal(code[:8], code[:8, :, :1].expand(8, 4, 4))  # rows
    assert torch.equal(code[8:], code[8:, :1].expand(8, 4, 4))  # columns


def test_the_loss():
    same = torch.tensor([True, False] * 4)
    for cosine, loss in ((torch.zeros(8), 0.5), (same.float(), 0.0), (torch.full((8,), 0.5), 0.25)):
        assert float(pair_loss(cosine, same)) == loss


def test_half_of_the_partners_are_of_the_same_class():
    labels = torch.arange(30) % 3
    rows = torch.arange(12)
    positive, partners = draw_partners(labels, rows, SampleRng.of(0, "t", [str(i) for i in rows.tolist()]))
    assert int(positive.sum()) == 6
    assert torch.equal(labels[partners] == labels[rows], positive)


def test_every_weight_learns_from_the_first_step_and_the_maps_do_not(head):
    s, q = maps(4), maps(4, 1)
    head.train()
    pair_loss(head(s, q), torch.tensor([True, False] * 2)).backward()
    assert s.grad is None
    silent = [n for n, p in head.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert all("in_proj_bias" in n or ".bias" in n for n in silent), silent  # a bias before a norm has no effect


def test_training_separates_classes_and_is_repeatable(head):
    labels = torch.arange(24) % 2
    centres = maps(2, 7)
    s, q = centres[labels] + maps(24), centres[labels] + maps(24, 1)
    same = labels[:, None] == labels
    before = separation(score_pairs(head, s, q), same)
    weights = {k: v.clone() for k, v in head.state_dict().items()}
    train_pairs(head, s, q, labels, steps=30, batch_size=12, lr=5e-3, seed=3)
    assert not head.training
    assert separation(score_pairs(head, s, q), same) > before
    losses = []
    for _ in range(2):
        head.load_state_dict(weights)
        losses.append(train_pairs(head, s, q, labels, steps=2, batch_size=12, seed=3))
    assert losses[0] == losses[1]


def test_the_separation_by_hand():
    scores, same = torch.tensor([1.0, 3.0, 0.0, -2.0]), torch.tensor([True, True, False, False])
    assert separation(scores, same) == pytest.approx(3 / 2**0.5)
    with pytest.raises(DataError, match="two of each"):
        separation(scores[:3], same[:3])


def test_wrong_use_is_refused(head):
    with pytest.raises(ParameterError, match="multiple of 8"):
        ConditionalHead(12, 3)
    with pytest.raises(DataError, match=r"must both be \[B, 16, 3, 3\]"):
        head(maps(1), maps(2))
    with pytest.raises(DataError, match="must both be"):
        head(maps(1, side=4), maps(1, side=4))
    with pytest.raises(DataError, match="1 classes"):
        train_pairs(head, maps(3), maps(3), torch.zeros(3, dtype=torch.int64), steps=1)
