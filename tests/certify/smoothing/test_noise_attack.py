"""What attacks through noise share: counted passes, unlabelled samples, pictures, and radii that are refused."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.certify.smoothing.smoothing_attack import SmoothingAttack
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of, rows_of


def test_passes_are_counted(plane):
    _, found, oracle = plane.rows(
        SmoothingAttack(sigma=0.25, steps=3, copies=4, n=50), plane.batch(0.4, -0.4, 0.4, labels=[1, 1, 0]), [0.1]
    )
    first, second, third = found[0]
    assert (first["forwards"], first["backwards"]) == (50 + 3 * 4 + 50, 12)
    for wrong in (second, third):  # without any change: left alone
        assert (wrong["forwards"], wrong["backwards"]) == (50, 0)
    assert oracle.meter.backwards == 12


def test_without_labels_the_class_of_the_unchanged_image_is_attacked(plane):
    samples = plane.batch(0.1, -0.1)
    bare = Batch(samples.images, None, samples.ids)
    _, found, _ = plane.rows(SmoothingAttack(sigma=0.25, n=2000), bare, [0.3])
    assert [r["prediction"] for r in found[0]] == [0, 1]


def test_pictures_are_what_the_classifier_saw(plane):
    parts, found, _ = plane.rows(SmoothingAttack(sigma=0.25, n=2000), plane.batch(0.1, 0.6), [0.3])
    moved = (parts[0].images(torch.tensor([0, 1])) - plane.batch(0.1, 0.6).images).flatten(1).norm(dim=1)
    assert moved.tolist() == pytest.approx([r["distance"] for r in found[0]], abs=1e-6)
    assert math.isclose(float(moved[1]), 0.0)


@pytest.mark.parametrize(("given", "words"), [({"severities": (1,)}, "no severities"), ({"eps": (0.0,)}, "eps=0")])
def test_bad_radii_are_named(given, words):
    with pytest.raises(ParameterError, match=words):
        conditions_of(SmoothingAttack(), Line("a", norm="l2", **{"severities": (), "eps": ()} | given))


def test_radii_are_half_a_deviation_apart_unless_given():
    found = conditions_of(SmoothingAttack(sigma=0.2), Line("a"))
    assert [c.eps for c in found] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert {c.norm for c in found} == {"l2"}
    given = conditions_of(SmoothingAttack(), Line("a", eps=(0.3, 0.1), norm="l2"))
    assert [c.eps for c in given] == [0.1, 0.3]


def test_the_most_passes_are_those_of_the_gradients_and_the_votes():
    assert SmoothingAttack(steps=3, copies=4, n=50).most_passes(10) == 2 * 3 * 4 + 50


def test_an_image_without_an_answer_is_an_example_and_one_without_a_number_is_none(plane):
    """NaN for images more than a tenth beyond the plane, gradients included: the ascent ends where they begin."""

    class Broken(plane.Linear):
        def forward(self, x):
            z = super().forward(x)
            return torch.where(z[:, 1:] < -0.1, torch.nan, z)

    oracle = Oracle(Classifier(Broken()).eval())
    samples = plane.batch(0.5)
    method = SmoothingAttack(sigma=0.01, n=100)
    conditions = conditions_of(method, Line("a", eps=(0.3, 0.8), norm="l2"))
    parts = rows_of(method, samples, conditions, Context(oracle, 0, oracle.exact(samples.images)))
    assert [p.columns["correct"].tolist() for p in parts] == [[True], [False]]
    for part in parts:
        assert bool(part.images(torch.tensor([0])).isfinite().all())
    assert 0.5 < parts[1].columns["distance"][0] <= 0.8


def test_the_votes_on_the_unchanged_images_are_paid_with_the_first_radius(plane):
    method = SmoothingAttack(sigma=0.25, steps=3, copies=4, n=50)
    _, found, oracle = plane.rows(method, plane.batch(2.0, 2.0), [0.1, 0.2])
    assert [(r["forwards"], r["backwards"]) for part in found for r in part] == [(112, 12)] * 2 + [(62, 12)] * 2
    assert oracle.meter.forwards == 2 * (112 + 62) + 2  # and the clean logits
