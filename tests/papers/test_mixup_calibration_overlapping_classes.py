import numpy as np
import pytest
import torch
from scipy import stats

from unshaken_papers.mixup_calibration.overlapping_classes import OverlappingPairs, PairFlips, TwoGaussians


def test_posteriors_against_densities():
    rng = np.random.default_rng(0)
    world = OverlappingPairs(4, 0.3, rng, dims=3)
    points = world.draw(50, rng)
    x = points.images[:, 0, 0].numpy() / 255 * 24 - 12
    densities = np.stack(
        [
            0.7 * stats.multivariate_normal(world.own[k]).pdf(x)
            + 0.3 * stats.multivariate_normal(world.shared[k // 2]).pdf(x)
            for k in range(4)
        ],
        1,
    )
    assert points.posterior == pytest.approx(densities / densities.sum(1, keepdims=True), abs=1e-9)
    two = TwoGaussians(2.0, 4)
    points = two.draw(50, rng)
    x = points.images[:, 0, 0].numpy() / 255 * 24 - 12
    densities = np.stack([stats.multivariate_normal(np.full(4, m)).pdf(x) for m in (0, 1)], 1)
    assert points.posterior == pytest.approx(densities / densities.sum(1, keepdims=True), abs=1e-9)


def test_the_share_of_the_overlap_and_the_bayes_accuracy():
    rng = np.random.default_rng(1)
    points = OverlappingPairs(10, 0.6, rng).draw(4000, rng)
    assert (points.posterior.max(1) < 0.6).mean() == pytest.approx(0.6, abs=0.04)
    assert (points.posterior.argmax(1) == points.labels.numpy()).mean() == pytest.approx(0.7, abs=0.03)
    for separation, accuracy in ((4.34, 0.985), (0.87, 0.668), (0.17, 0.534)):
        points = TwoGaussians(separation, 60).draw(4000, rng)
        assert (points.posterior.argmax(1) == points.labels.numpy()).mean() == pytest.approx(accuracy, abs=0.025)


def test_flips_follow_one_map():
    rng = np.random.default_rng(2)
    flips = PairFlips(10, rng)
    labels = torch.arange(10).repeat(1000)
    noisy = flips.flipped(labels, 0.3, rng)
    moved = noisy != labels
    assert moved.float().mean() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(noisy[moved], flips.to[labels[moved]])
    assert bool((flips.to != torch.arange(10)).all())
    assert torch.equal(flips.flipped(labels, 0.0, rng), labels)
