"""Conditions of attacks by hand."""

from __future__ import annotations

import math

import pytest

from unshaken.attack.black_box.spatial import Spatial
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of


def conditions(method, eps=(), **options):
    return [(c.id, c.eps, c.norm) for c in conditions_of(method, Line("x", eps=eps, norm="l2", **options))]


def test_a_condition_a_budget():
    assert conditions(PGD(), (0.5, 1 / 3)) == [("x-l2-0.5", 0.5, "l2"), ("x-l2-0.333333", 1 / 3, "l2")]
    with pytest.raises(ParameterError, match="not severities"):
        conditions(PGD(), (0.5,), severities=(1,))


def test_a_minimal_norm_attack_has_one_more_without_a_budget():
    assert conditions(DeepFool()) == [("x-l2", None, "l2")]
    assert conditions(DeepFool(), (math.inf, 0.5)) == [("x-l2-0.5", 0.5, "l2"), ("x-l2", None, "l2")]


def test_without_norms_there_is_one_and_no_eps():
    assert conditions(Spatial()) == [("x", None, None)]
    with pytest.raises(ParameterError, match="has no eps"):
        conditions(Spatial(), (0.1,))
