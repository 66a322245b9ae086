"""The attack through the noise against a linear classifier, where clean, attacked and certified are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.certify import Smoothing, SmoothingAttack
from unshaken.certify.smoothing.smoothed_gradient import SmoothedGradient
from unshaken.certify.smoothing.smoothing_attack import winner
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.run.rows import Context, table_of


class Linear(nn.Module):
    """Logits (-z, z), z the distance of 4 x 4 images from a plane through 0.5."""

    def forward(self, x):
        z = (x.flatten(1) - 0.5).sum(1) / 4
        return torch.stack([-z, z], 1)


def counted(limit=256):
    return Oracle(Classifier(Linear()).eval(), limit=limit)


def batch(*distances, labels=None):
    images = torch.stack([torch.full((1, 4, 4), 0.5 + d / 4) for d in distances])
    given = torch.ones(len(images), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Batch(images, given, tuple(f"s{i}" for i in range(len(images))))


def rows(method, samples, radii, limit=256):
    oracle = counted(limit)
    conditions = method.conditions(label="smoothing-attack", severities=(), eps=radii, norm="l2")
    parts = method.evaluate(samples, conditions, Context(oracle, 0, oracle.exact(samples.images)))
    return parts, [table_of(p).to_pylist() for p in parts], oracle


def test_a_sample_falls_just_beyond_its_exact_radius():
    distances, method = [0.1, 0.3, 0.5, -0.4], SmoothingAttack(sigma=0.25, votes=2000)
    _, found, _ = rows(method, batch(*distances), [0.2, 0.4, 0.45])
    right = [[r["correct"] for r in part] for part in found]
    assert right == [[False, True, True, False], [False, False, True, False], [False, False, True, False]]
    for part, eps in zip(found, (0.2, 0.4, 0.45), strict=True):
        assert max(r["distance"] for r in part) <= eps * (1 + 1e-6)
    moved = [[r["distance"] > 0 for r in part] for part in found]
    assert moved == [[True, False, False, False], [True, True, False, False], [True, True, False, False]]
    assert found[0][0]["distance"] == found[2][0]["distance"]  # the nearer example stands


def test_no_example_lies_within_a_certified_radius():
    samples = batch(0.05, 0.1, 0.2, 0.3, 0.4)
    certified = Smoothing(sigma=0.25, n=5000).certify(counted(), samples)
    _, found, _ = rows(SmoothingAttack(sigma=0.25), samples, [r / 20 for r in range(1, 11)])
    for part in found:
        for row, radius in zip(part, certified.radius.tolist(), strict=True):
            assert row["correct"] or row["distance"] > radius


def test_passes_are_counted():
    _, found, oracle = rows(SmoothingAttack(sigma=0.25, steps=3, draws=4, votes=50), batch(0.4, -0.4), [0.1])
    first, second = found[0]
    assert (first["forwards"], first["backwards"]) == (50 + 3 * 4 + 50, 12)
    assert (second["forwards"], second["backwards"]) == (50, 0)  # wrong without any change: left alone
    assert oracle.meter.backwards == 12


def test_without_labels_the_class_of_the_unchanged_image_is_attacked():
    samples = batch(0.1, -0.1)
    bare = Batch(samples.images, None, samples.ids)
    _, found, _ = rows(SmoothingAttack(sigma=0.25, votes=2000), bare, [0.3])
    assert [r["prediction"] for r in found[0]] == [0, 1]


def test_an_example_must_beat_chance():
    """A point on the border gets either class by luck: it does not count."""
    counts = torch.tensor([[500, 500], [530, 470], [560, 440], [440, 560]])
    assert winner(counts, 0.001).tolist() == [-1, -1, 0, 1]


def test_the_gradient_is_that_of_the_mean_probability():
    samples, rng = batch(0.1, 0.2), SampleRng.of(0, "x", ["s0", "s1"])
    oracle = counted()
    found = oracle.ask(SmoothedGradient(samples.images, samples.labels, 0.25 * rng.normal(5, 1, 4, 4)))
    x = samples.images.clone().requires_grad_(True)
    noise = rng.normal(5, 1, 4, 4)
    p = torch.stack([Linear()(x[:, :] + 0.25 * noise[:, j]).softmax(1) for j in range(5)]).mean(0)
    loss = -p[:, 1].log()
    assert torch.allclose(found.value, loss.detach(), atol=1e-6)
    assert torch.allclose(found.gradient, torch.autograd.grad(loss.sum(), x)[0], atol=1e-6)
    assert found.forwards.tolist() == found.backwards.tolist() == [5, 5]
    assert (oracle.meter.forwards, oracle.meter.backwards) == (10, 10)


def test_pictures_are_what_the_classifier_saw():
    parts, found, _ = rows(SmoothingAttack(sigma=0.25, votes=2000), batch(0.1, 0.6), [0.3])
    moved = (parts[0].images(torch.tensor([0, 1])) - batch(0.1, 0.6).images).flatten(1).norm(dim=1)
    assert moved.tolist() == pytest.approx([r["distance"] for r in found[0]], abs=1e-6)
    assert math.isclose(float(moved[1]), 0.0)


@pytest.mark.parametrize(("given", "words"), [({"severities": (1,)}, "no severities"), ({"eps": (0.0,)}, "eps=0")])
def test_bad_radii_are_named(given, words):
    with pytest.raises(ParameterError, match=words):
        SmoothingAttack().conditions(label="a", norm="l2", **{"severities": (), "eps": ()} | given)
