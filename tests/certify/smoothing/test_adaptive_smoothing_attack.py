"""The attack on a mixture with a smoothed half-space, where the radius is known, and on mixtures of every kind."""

from __future__ import annotations

import pytest
import torch
from scipy.special import ndtri
from torch import nn

from unshaken.certify.smoothing.adaptive_smoothing import AdaptiveSmoothing
from unshaken.certify.smoothing.adaptive_smoothing_attack import AdaptiveSmoothingAttack
from unshaken.certify.smoothing.mixture import MixtureNet
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ModelError, ParameterError
from unshaken.run.adapters import Line as PlanLine
from unshaken.run.adapters import conditions_of, rows_of
from unshaken.store.tables import table_of

ALWAYS_0 = [5.0, 0.0]


class Line(nn.Module):
    """Class 1 where the mean of the 16 pixels is above 1/2."""

    def forward(self, images):
        lean = 50 * (images.flatten(1).mean(1) - 0.5)
        return torch.stack([-lean, lean], 1)


class FixedLogits(nn.Module):
    """Always the same logits."""

    def __init__(self, *logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, images):
        return self.logits.expand(len(images), -1)


def grey(*levels):
    return torch.stack([torch.full((1, 4, 4), level) for level in levels])


def rows(method, model, images, radii):
    batch = Batch(images, torch.ones(len(images), dtype=torch.int64), tuple(f"s{i}" for i in range(len(images))))
    counted = Oracle(model.eval())
    conditions = conditions_of(method, PlanLine("a", eps=radii, norm="l2"))
    parts = rows_of(method, batch, conditions, Context(counted, 0, counted.exact(images)))
    return [table_of(p).to_pylist() for p in parts if p.table == "outcomes"], counted


@pytest.fixture
def other(monkeypatch):
    monkeypatch.setattr(
        "unshaken.certify.smoothing.adaptive_smoothing.second_model",
        lambda spec: Classifier(FixedLogits(*ALWAYS_0)).eval(),
    )
    return "py:other.py:build"


def test_a_sample_falls_just_beyond_its_exact_radius(other):
    """h votes for class 1 with `Phi((4 (m - 1/2) - r) / s)` after a move by r; the mixture turns at 1/2."""
    g = float(torch.tensor(ALWAYS_0).softmax(0)[1])
    turns = float(ndtri((0.5 - 0.2 * g) / 0.8))
    levels = [0.55, 0.6, 0.7]
    exact = [4 * (m - 0.5) - 0.25 * turns for m in levels]
    assert exact == pytest.approx([0.1215, 0.3215, 0.7215], abs=1e-3)
    attack = AdaptiveSmoothingAttack(accurate=other, sigma=0.25, n=3000)
    found, _ = rows(attack, Classifier(Line()), grey(*levels), [0.08, 0.26, 0.4, 0.78])
    right = [[row["correct"] for row in part] for part in found]
    assert right == [[True, True, True], [False, True, True], [False, False, True], [False, False, False]]


def test_no_example_lies_within_a_certified_radius(other):
    images = grey(0.53, 0.55, 0.6, 0.65, 0.7)
    shared = {"accurate": other, "sigma": 0.25}
    counted = Oracle(Classifier(Line()).eval())
    batch = Batch(images, torch.ones(5, dtype=torch.int64), tuple("abcde"))
    certifier = AdaptiveSmoothing(**shared, n=5000)
    (condition,) = conditions_of(certifier, PlanLine("a", norm="l2"))
    sure = rows_of(certifier, batch, [condition], Context(counted, 0, counted.exact(images)))[0].columns["radius"]
    assert max(sure) > 0.3
    found, _ = rows(AdaptiveSmoothingAttack(**shared), Classifier(Line()), images, [r / 10 for r in range(1, 9)])
    for part in found:
        for row, radius in zip(part, sure, strict=True):
            assert row["correct"] or row["distance"] > radius


def test_passes_of_both_parts_are_counted(other):
    attack = AdaptiveSmoothingAttack(accurate=other, sigma=0.25, steps=3, copies=4, n=50)
    found, counted = rows(attack, Classifier(Line()), grey(0.9, 0.1), [0.1])
    first, second = found[0]
    assert (first["forwards"], first["backwards"]) == (151 + 3 * 5 + 151, 15)
    assert (second["forwards"], second["backwards"]) == (151, 0)
    assert counted.meter.backwards == 15


def test_without_another_model_its_own_clean_answer_is_mixed_in_anew_at_each_point():
    attack = AdaptiveSmoothingAttack(sigma=0.25, n=500)
    found, _ = rows(attack, Classifier(Line()), grey(0.6), [0.8])
    assert not found[0][0]["correct"]
    assert found[0][0]["forwards"] == 601 + 10 * 9 + 601


class Bright(MixtureNet):
    """The weight of h is 0.9 on bright images, and 0.6 on dark ones."""

    varies = True

    @property
    def least_alpha(self):
        return 0.6

    def weights(self, images):
        return 0.6 + 0.3 * (20 * (images.flatten(1).mean(1) - 0.5)).sigmoid()

    def forward(self, images):
        return self.mix(self.accurate_logits(images), self.robust_logits(images), self.weights(images))


def test_a_weight_that_depends_on_the_image_is_followed():
    whole = Classifier(Bright(Classifier(FixedLogits(*ALWAYS_0)), Classifier(Line()), alpha=0.7))
    found, _ = rows(AdaptiveSmoothingAttack(sigma=0.25, n=500), whole, grey(0.6, 0.7), [0.05, 0.6])
    right = [[row["correct"] for row in part] for part in found]
    assert right[0] == [True, True]
    assert right[1] == [False, True]


def test_what_cannot_be_attacked_is_named(other):
    blind = Classifier(nn.Sequential(Line()), differentiable=False)
    with pytest.raises(ModelError, match="gives no gradients"):
        rows(AdaptiveSmoothingAttack(accurate=other, n=50), blind, grey(0.6), [0.1])
    with pytest.raises(ParameterError, match=r"^adaptive-smoothing-attack: .*weight=0\.5"):
        AdaptiveSmoothingAttack(weight=0.5)
    whole = Classifier(MixtureNet(Classifier(FixedLogits(*ALWAYS_0)), Classifier(Line()), alpha=0.7))
    with pytest.raises(ParameterError, match=r"^adaptive-smoothing-attack: model .* omit accurate"):
        rows(AdaptiveSmoothingAttack(accurate=other), whole, grey(0.6), [0.1])
