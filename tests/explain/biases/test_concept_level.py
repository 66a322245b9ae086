"""One threshold for all models, counts against the rows of Network Dissection, and shares of nothing."""

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.explain.biases.concept_level import ConceptLevel, low_level_share
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.units.netdissect import NetDissect


@pytest.fixture(scope="module")
def model():
    """Channels that are one colour each, and one that is none."""
    conv = nn.Conv2d(3, 4, 1, bias=False)
    with torch.no_grad():
        weights = [[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0]]
        conv.weight.copy_(torch.tensor(weights)[:, :, None, None])
    return Classifier(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))).eval()


def test_counts_are_those_of_the_dissection_of_each_model(model):
    found = ConceptLevel(images=60, layers="0", quantile=0.9).find(Subject({"a": model, "b": model}))
    rows = NetDissect(images=60, layers="0", quantile=0.9).find(Subject({"a": model})).rows
    counts = found.extra["detectors"]["a"]["0"]
    assert counts == {c: list(rows["category"]).count(c) for c in ("colour", "texture", "object")}
    assert counts["colour"] >= 2
    assert found.extra["detectors"]["a"] == found.extra["detectors"]["b"]
    assert found.figures["low_level.a.0"].value == pytest.approx(
        (counts["colour"] + counts["texture"]) / sum(counts.values())
    )
    assert found.rows["n"] == [4] * 6
    assert "above an IoU of 0.04 in every model" in found.remarks[-1]


def test_without_detectors_there_is_no_share(model):
    assert low_level_share({"colour": 0, "object": 0}) is None
    found = ConceptLevel(images=30, layers="0", least=0.99).find(Subject({"a": model}))
    assert found.figures == {}
    assert found.rows["value"] == [0] * 3
