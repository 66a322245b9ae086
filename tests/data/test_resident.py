"""Samples in memory: the images that mean and deviation are computed over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.data import resident
from unshaken.data.resident import Samples, spread


def samples(values, classes=2):
    """Grey images of one pixel with these values, sorted by class."""
    images = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1)
    return Samples.of(images, torch.arange(len(images)) * classes // len(images), classes)


def test_all_classes_of_a_sorted_set_count(monkeypatch):
    monkeypatch.setattr(resident, "COUNTED", 10)
    mean, std = samples([0] * 30 + [255] * 30).statistics()
    assert mean == pytest.approx([0.5])
    assert std == pytest.approx([torch.tensor([0.0, 1.0] * 5).std().item()])


def test_all_images_count_where_they_are_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(resident, "COUNTED", 4)
    assert samples([0, 51, 102, 255]).statistics()[0] == pytest.approx([0.4])


@pytest.mark.parametrize(("n", "most"), [(5001, 5000), (10_000, 5000), (60_000, 5000), (7, 3)])
def test_places_are_distinct_and_one_in_each_part(n, most):
    places = spread(n, most)
    assert len(places) == most
    assert (np.diff(places) > 0).all()
    assert (places >= np.arange(most) * n // most).all()
    assert (places < (np.arange(most) + 1) * n // most).all()


@pytest.mark.parametrize("n", [10_000, 20_000, 50_000, 60_000])
def test_places_meet_no_period_of_the_row(n):
    """Classes in turn, 0 to 9 and again: an even step would meet half of them, or one."""
    counts = np.bincount(spread(n, 5000) % 10, minlength=10)
    assert counts.min() > 450


def test_a_short_row_is_taken_whole():
    assert spread(4, 4).tolist() == [0, 1, 2, 3]
    assert spread(0, 4).tolist() == []
