"""Intersection over union with concepts, by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.explain import Subject
from unshaken.explain.units.concepts import Concept, ConceptImages
from unshaken.explain.units.netdissect import NetDissect, Overlap, count_overlap


def test_the_cards_example():
    """M = 110010, L = 100110: intersection 2, union 4."""
    over = Overlap(torch.tensor([[2.0]]), torch.tensor([[3.0]]), torch.tensor([3.0]))
    assert over.iou.tolist() == [[0.5]]
    assert Overlap(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1)).iou.tolist() == [[0.0]]


def test_pixels_are_counted_over_the_images_that_tell_of_the_category(colours, concepts):
    own = Subject({"m": colours}, concepts.dataset, range(20), batch=6)
    found, passes = count_overlap(own, {"body": torch.tensor([0.5, 0.5, 0.5, 0.0])}, concepts)
    over = found["body"]
    assert passes == 20
    assert over.concept.tolist() == [320, 320, 640]  # 20 squares each; the whole of ten images
    assert over.both[0].tolist() == [320, 0, 160]
    assert over.unit[0].tolist() == [320, 320, 160]  # the last: in ten images alone
    assert over.iou[0].tolist() == [1.0, 0.0, 0.25]
    assert over.iou[3].tolist() == [0.0, 0.0, 0.0]


def test_masks_smaller_than_images_count_at_their_size(colours, concepts):
    own = Subject({"m": colours}, concepts.dataset, range(20))
    found, _ = count_overlap(own, {"body": torch.full((4,), 0.5)}, concepts, (2, 2))
    assert found["body"].concept.tolist() == [20, 20, 40]
    assert float(found["body"].iou[0, 0]) == 1.0


@pytest.fixture
def dissected(colours, concepts, monkeypatch):
    monkeypatch.setattr("unshaken.explain.units.netdissect.open_concepts", lambda *args, **options: concepts)
    return lambda **options: NetDissect(layers="body", **options).find(Subject({"m": colours}))


def test_units_are_named_by_their_best_concept(dissected):
    found = dissected(quantile=0.8)
    rows = found.rows
    assert rows["description"] == ["red", "green", None, None]
    assert rows["category"] == ["colour", "colour", None, None]
    assert rows["unit"] == [0, 1, 2, 3]
    assert found.extra["detectors"] == {"body": {"units": 4, "colour": 2}}
    assert found.figures["described"].value == 0.5
    assert set(found.arrays["picture_of"][:, 1].tolist()) == {0, 1}  # units without a concept are not shown


def test_a_higher_bar_leaves_fewer_detectors(dissected):
    found = dissected(quantile=0.95, least=0.5)
    assert found.rows["description"] == [None] * 4
    assert found.rows["score"][0] == 0.2  # a threshold of 5 % of places cannot cover a concept of 25 %


def test_a_network_against_itself_is_equal(dissected):
    assert dissected().rows == dissected().rows


def test_numbers_of_another_category_are_refused():
    from unshaken.core.errors import DataError

    maps = torch.zeros(1, 2, 2, 2, dtype=torch.int16)
    maps[0, 0, 0, 0] = 2
    pair = [Concept("red", "colour"), Concept("sky", "scene")]
    with pytest.raises(DataError, match=r"'sky' \(number 2\) is of scene, in the map of colour"):
        ConceptImages(pair, torch.zeros(1, 3, 2, 2, dtype=torch.uint8), maps)
    maps[0, 0, 0, 0] = 7
    with pytest.raises(DataError, match="number 7 is no concept"):
        ConceptImages(pair, torch.zeros(1, 3, 2, 2, dtype=torch.uint8), maps)
