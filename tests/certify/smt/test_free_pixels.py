import torch

from unshaken.attack.engine.ball import Ball
from unshaken.certify.smt.free_pixels import PixelPGD
from unshaken.certify.smt.smt import most_extreme
from unshaken.core.rng import SampleRng


def test_pgd_stays_in_the_free_pixels():
    clean = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    rng = SampleRng.of(0, "pgd", ["a", "b"])
    ball = PixelPGD(pixels=3).ball(clean, torch.tensor([0.3, 0.3]), "linf", rng)
    assert isinstance(ball, Ball)
    for i in range(2):
        free = most_extreme(clean[i], 3)
        width = (ball.upper - ball.lower)[i].flatten()
        assert set(width.nonzero().flatten().tolist()) == set(free.tolist())
    x = ball.random_point(rng)
    assert int((x != clean).sum()) == 6
    assert bool(ball.contains(x).all())
