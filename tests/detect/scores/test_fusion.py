"""Fusion: the standardised sum by hand, nested banks, and what a part needs."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.screen import forward_passes, run_queries
from unshaken.detect.scores.fusion import Fusion
from unshaken.detect.scores.knn import KNN
from unshaken.detect.scores.mahalanobis import Mahalanobis
from unshaken.detect.scores.max_logit import MaxLogit


def known(toy, method, n=60):
    images = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, toy(images).argmax(1), tuple(str(i) for i in range(n)))
    anatomy = Anatomy.of(toy, images)
    whole = next(iter(forward_passes([method], anatomy, batch, Oracle(toy))))
    sums = {}
    for name in method.moments(anatomy):
        sums[name] = Moments(3)
        sums[name].add(whole.pooled(name), whole.labels)
    return FitData(anatomy, sums, {**method.rows(whole), "labels": whole.labels}, whole, n)


def test_a_sum_on_the_scale_of_normal_samples(toy):
    method = Fusion(of="max-logit+knn:k=5+mahalanobis")
    fit_data = known(toy, method)
    bank = run_queries(method.fit(fit_data), Oracle(toy))
    parts = [MaxLogit(), KNN(k=5), Mahalanobis()]
    banks = [run_queries(p.fit(fit_data), Oracle(toy)) for p in parts]
    scores = torch.stack([p.score(fit_data.held_out, b) for p, b in zip(parts, banks, strict=True)], 1)
    expected = ((scores - scores.mean(0)) / scores.std(0, correction=0)).sum(1)
    assert run_queries(method.score(fit_data.held_out, bank), Oracle(toy)).tolist() == pytest.approx(expected.tolist())
    assert {"1/bank", "2/0.whiten", "mean", "deviation"} <= set(bank)


def test_a_part_that_asks_the_model_again_is_answered(toy):
    method = Fusion(of="msp+odin")
    fit_data = known(toy, method)
    oracle = Oracle(toy)
    bank = run_queries(method.fit(fit_data), oracle)
    spent = oracle.meter.forwards
    found = run_queries(method.score(fit_data.held_out, bank), oracle)
    assert oracle.meter.forwards - spent == 2 * 60
    assert found.mean().item() == pytest.approx(0, abs=1e-6)


def test_what_a_part_needs(toy):
    images = torch.rand(2, 3, 4, 4)
    anatomy = Anatomy.of(toy, images)
    assert Fusion(of="msp+mahalanobis").labelled
    assert not Fusion(of="msp+knn").labelled
    assert Fusion(of="knn+mahalanobis").layers(anatomy) == ("head:in",)
    assert Fusion(of="msp+max-logit").layers(anatomy) == ()


def test_bad_parts_are_one_clear_line(toy):
    with pytest.raises(ParameterError, match="at least 2 items"):
        Fusion(of="msp")
    with pytest.raises(ParameterError, match="no method 'mps'"):
        _ = Fusion(of="mps+knn").parts
    squeezing, msp = Fusion(of="feature-squeezing:squeezers=bits-5%2Bbits-3+msp").parts  # a part's own +
    assert (squeezing.squeezers, msp.info.name) == (("bits-5", "bits-3"), "msp")


def test_a_part_without_spread_is_refused(toy):
    method = Fusion(of="msp+max-logit")
    anatomy = known(toy, method).anatomy
    batch = Batch(torch.ones(4, 3, 4, 4), None, tuple("abcd"))
    same = FitData(anatomy, tune=next(iter(forward_passes([method], anatomy, batch, Oracle(toy)))))
    with pytest.raises(DataError, match="score of msp is the same"):
        run_queries(method.fit(same), Oracle(toy))
