"""Rows of fooling images, and the flag on a model that is sure of them."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.fooling.base import FoolingImages
from unshaken.attack.fooling.rows import fooling_rows
from unshaken.core.part import Condition
from unshaken.store.tables import table_of


def rows_of(confidences):
    """One image a class, of these confidences."""
    odds = torch.tensor([math.log(c / (1 - c)) for c in confidences], dtype=torch.float64)
    k = len(confidences)
    found = FoolingImages(torch.zeros(k, 1, 4, 4, dtype=torch.uint8), odds, torch.arange(k), {})
    return fooling_rows(Condition("ascent", "ascent"), found, range(k), ["cat", "dog"])


def test_a_row_a_class_with_its_name_or_number():
    rows = table_of(rows_of([0.5, 0.7, 0.9])).to_pylist()
    assert [r["name"] for r in rows] == ["cat", "dog", "2"]
    assert [r["confidence"] for r in rows] == pytest.approx([0.5, 0.7, 0.9])
    assert [r["file"] for r in rows] == [f"{r['id']}.png" for r in rows]


def test_the_flag_names_the_classes_that_the_model_is_nearly_certain_of():
    (flag,) = rows_of([0.995, 0.5, 0.999]).flags
    assert (flag.name, flag.ids) == ("confident-on-nonsense", ("class-0000", "class-0002"))
    assert "2 of 3 classes" in flag.detail
    assert rows_of([0.98, 0.5]).flags == ()
