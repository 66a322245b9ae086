"""What attacks through noise share: counted passes, unlabelled samples, pictures, and radii that are refused."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.certify import SmoothingAttack
from unshaken.core import Batch
from unshaken.core.errors import ParameterError


def test_passes_are_counted(plane):
    _, found, oracle = plane.rows(
        SmoothingAttack(sigma=0.25, steps=3, draws=4, votes=50), plane.batch(0.4, -0.4), [0.1]
    )
    first, second = found[0]
    assert (first["forwards"], first["backwards"]) == (50 + 3 * 4 + 50, 12)
    assert (second["forwards"], second["backwards"]) == (50, 0)  # wrong without any change: left alone
    assert oracle.meter.backwards == 12


def test_without_labels_the_class_of_the_unchanged_image_is_attacked(plane):
    samples = plane.batch(0.1, -0.1)
    bare = Batch(samples.images, None, samples.ids)
    _, found, _ = plane.rows(SmoothingAttack(sigma=0.25, votes=2000), bare, [0.3])
    assert [r["prediction"] for r in found[0]] == [0, 1]


def test_pictures_are_what_the_classifier_saw(plane):
    parts, found, _ = plane.rows(SmoothingAttack(sigma=0.25, votes=2000), plane.batch(0.1, 0.6), [0.3])
    moved = (parts[0].images(torch.tensor([0, 1])) - plane.batch(0.1, 0.6).images).flatten(1).norm(dim=1)
    assert moved.tolist() == pytest.approx([r["distance"] for r in found[0]], abs=1e-6)
    assert math.isclose(float(moved[1]), 0.0)


@pytest.mark.parametrize(("given", "words"), [({"severities": (1,)}, "no severities"), ({"eps": (0.0,)}, "eps=0")])
def test_bad_radii_are_named(given, words):
    with pytest.raises(ParameterError, match=words):
        SmoothingAttack().conditions(label="a", norm="l2", **{"severities": (), "eps": ()} | given)
