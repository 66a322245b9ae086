"""PGD that goes on from given points: each sample from its own, in any order and any part of the batch."""

from __future__ import annotations

import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch
from unshaken.core.rng import SampleRng
from unshaken.harden.engine._continued_pgd import ContinuedPGD


def test_each_sample_starts_at_its_own_point_inside_its_ball():
    ids = [f"s{i}" for i in range(9)]
    batch = Batch(torch.full((9, 1, 1, 1), 0.5), torch.zeros(9, dtype=torch.int64), tuple(ids))
    points = 0.5 + torch.arange(9.0).view(9, 1, 1, 1) / 20
    search = ContinuedPGD.from_points(batch, points, 3, {"steps": 7})
    assert search.steps == 7
    rng = SampleRng.of(3, PGD.info.name, ids)
    some = torch.tensor([7, 0, 4])
    ball = Ball.of(batch.images[some], torch.full((3,), 0.3), "linf")
    state = search.start(Problem(ball, batch.labels[some], False, torch.zeros(3, 2)), rng[some])
    assert torch.allclose(state.x.flatten(), torch.tensor([0.8, 0.5, 0.7]))  # 0.85 is outside
    assert state.step.tolist() == [0, 0, 0]
