"""TexTile's score: the logistic by hand, tilings, shift invariance where mathematics says so, and optimisation."""

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ParameterError
from unshaken.explain.textures.optimise import optimise
from unshaken.explain.textures.seams import border_energy
from unshaken.explain.textures.tileability import logistic, tile, tile_logits, tile_score


def textures(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_logistic_by_hand():
    expected = [0.075858, 0.268941, 0.5, 0.562177, 0.731059, 0.924142, 0.993307]
    found = logistic(torch.tensor([-10.0, -4, 0, 1, 4, 10, 20], dtype=torch.float64))
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert float(logistic(torch.tensor(4.0), 1.0)) == pytest.approx(0.982014, abs=1e-6)
    assert logistic(torch.tensor([-7.0, 9.0]), 0.0).tolist() == [0.5, 0.5]


def test_tilings():
    x = textures(2, 3, 5, 4)
    assert torch.equal(tile(tile(x)), tile(x, 4))
    assert torch.equal(tile(x, 1), x)
    assert torch.equal(tile(x.roll((2, 1), (2, 3))), tile(x).roll((2, 1), (2, 3)))
    x.requires_grad_()
    tile(x).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 4))


def test_circular_padding_and_the_mean_make_the_logit_invariant_to_shifts():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), nn.Tanh(),
        nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double()  # fmt: skip
    x = textures(2, 1, 8, 6)
    plain, moved = tile_logits(net, x, tiles=2), tile_logits(net, x.roll((3, 2), (2, 3)), tiles=2)
    assert torch.allclose(plain, moved, atol=1e-12)
    net[0].padding_mode = "zeros"
    assert not torch.allclose(
        tile_logits(net, x, tiles=2), tile_logits(net, x.roll((3, 2), (2, 3)), tiles=2), atol=1e-7
    )


def test_logits_of_one_or_two_classes():
    x = textures(3, 1, 4, 4)
    two = tile_logits(lambda given: torch.stack([given.mean((1, 2, 3)), given.amax((1, 2, 3))], 1), x)
    one = tile_logits(lambda given: (given.amax((1, 2, 3)) - given.mean((1, 2, 3)))[:, None], x)
    assert torch.allclose(two, one)
    assert torch.allclose(tile_score(lambda given: two, x), torch.sigmoid(two / 4))
    with pytest.raises(ParameterError, match=r"logits \(3, 4\)"):
        tile_logits(lambda given: torch.zeros(3, 4), x)


def test_a_tiled_picture_is_resized():
    shapes = []
    tile_logits(
        lambda given: shapes.append(tuple(given.shape)) or given.mean((1, 2, 3)), textures(1, 1, 8, 6), tiles=2, side=10
    )
    assert shapes == [(1, 1, 10, 10)]


class SeamJudge(nn.Module):
    """It says "tileable" where the smooth part has little energy."""

    def forward(self, images):
        z = 10 - 40 * border_energy(images)
        return torch.stack([torch.zeros_like(z), z], 1)


def test_optimisation_lowers_the_seams_and_keeps_the_content():
    slope = torch.linspace(0.2, 0.8, 16).expand(2, 1, 16, 16).clone()
    judge = Classifier(SeamJudge(), name="judge").eval()
    changed = optimise(judge, slope, steps=30, rate=0.02)
    assert float(border_energy(changed).max()) < 0.6 * float(border_energy(slope).min())
    assert float(tile_score(judge, changed).min()) > float(tile_score(judge, slope).max())
    kept = optimise(judge, slope, steps=30, rate=0.02, content=1e4)
    assert float((kept - slope).abs().mean()) < 0.5 * float((changed - slope).abs().mean())
    assert all(p.grad is None for p in judge.parameters())
