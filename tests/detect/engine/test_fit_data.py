"""Streamed moments against numpy, and a bounded set that hangs on ids alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.core import SampleRng
from unshaken.core.errors import DataError
from unshaken.detect.engine.fit_data import FitData, Moments, Reservoir


def streamed(features, labels, classes, sizes):
    moments = Moments(classes)
    for x, y in zip(features.split(sizes), labels.split(sizes), strict=True):
        moments.add(x, y)
    return moments


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_are_those_of_the_whole_whatever_the_batches(offset):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 5, generator=g) + offset, torch.randint(0, 3, (60,), generator=g)
    a, b = streamed(x, y, 4, [60]), streamed(x, y, 4, [1, 29, 30])
    z = x.double().numpy()
    want = np.cov(z.T, bias=True)
    assert np.allclose(a.covariance(), want, atol=1e-6)
    assert np.allclose(b.covariance(), want, atol=1e-6)
    means = np.stack([z[y.numpy() == c].mean(0) for c in range(3)])
    assert np.allclose(b.means()[:3], means)
    assert bool(b.means()[3].isnan().all())
    within = sum(np.cov(z[y.numpy() == c].T, bias=True) * (y == c).sum().item() for c in range(3)) / 60
    assert np.allclose(b.within(), within, atol=1e-6)
    o = torch.arange(5.0)
    centred = z - o.numpy()
    assert np.allclose(b.second(o), centred.T @ centred / 60, rtol=1e-9)
    assert a.n == 60
    assert np.allclose(a.mean(), z.mean(0))


def test_moments_of_nothing_say_so():
    with pytest.raises(DataError, match="no sample to fit on"):
        Moments(2).mean()
    assert Moments(2).n == 0
    nothing = Reservoir(3)
    assert (nothing.rows(), nothing.offered) == ({}, 0)


def test_who_is_kept_hangs_on_ids_alone():
    ids = [f"s{i}" for i in range(100)]

    def fit_data(order, size):
        reservoir = Reservoir(10)
        for start in range(0, 100, size):
            part = order[start : start + size]
            reservoir.add(
                {"value": torch.tensor([float(i) for i in part])}, SampleRng.of(0, "detect", [ids[i] for i in part])
            )
        return reservoir

    one, two = fit_data(list(range(100)), 7), fit_data(list(range(99, -1, -1)), 40)
    assert one.rows()["value"].tolist() == two.rows()["value"].tolist()
    assert len(one.rows()["value"]) == 10
    assert one.offered == 100
    assert (
        abs(float(fit_data(list(range(100)), 100).rows()["value"].mean()) - 49.5) < 30
    )  # no end of the order is favoured


def test_memory_stays_bounded():
    reservoir = Reservoir(50)
    reservoir.add({"f": torch.zeros(300, 8)}, SampleRng.of(0, "detect", [f"first-{i}" for i in range(300)]))
    assert sum(len(r["f"]) for r in reservoir._rows) == 50
    for k in range(40):
        reservoir.add({"f": torch.zeros(25, 8)}, SampleRng.of(0, "detect", [f"{k}-{i}" for i in range(25)]))
        assert sum(len(r["f"]) for r in reservoir._rows) <= 2 * 50 + 25
    assert len(reservoir.rows()["f"]) == 50


def test_held_out_samples_are_asked_for_by_name(anatomy):
    with pytest.raises(DataError, match="no held-out samples"):
        FitData(anatomy).held_out  # noqa: B018
