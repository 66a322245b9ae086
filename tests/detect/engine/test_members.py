"""Further models on the same images: their logits, and members that do not fit."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Classifier, Oracle
from unshaken.core.classifier import View
from unshaken.core.errors import ModelError
from unshaken.detect.engine import members


class FixedLogits(torch.nn.Module):
    """The same logits for every image."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, x):
        return self.logits.expand(len(x), -1)


MODELS = {
    "first": Classifier(FixedLogits(2.0, 0.0)).eval(),
    "second": Classifier(FixedLogits(0.0, 3.0)).eval(),
    "three-classes": Classifier(FixedLogits(0.0, 2.0, 1.0)).eval(),
    "large": Classifier(FixedLogits(0.0, 2.0), view=View(9, 9)).eval(),
}


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.setattr(members, "second_model", MODELS.__getitem__)
    return Oracle(MODELS["first"], limit=2)


def query(*specs):
    return members.Members(torch.zeros(3, 1, 4, 4), specs, 2)


def test_logits_of_each_member_stand_in_the_order_of_their_specs_and_are_counted(oracle):
    answer = oracle.ask(query("second", "first"))
    assert answer.logits.tolist() == [[[0, 3], [2, 0]]] * 3
    assert oracle.meter.forwards == 6


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("three-classes", "member 'three-classes' has 3 classes, the model 2: members must answer the same question"),
        ("large", r"member 'large' takes images of \(9, 9\), the model sees \(4, 4\)"),
    ],
)
def test_a_member_that_does_not_fit_is_named(oracle, spec, message):
    with pytest.raises(ModelError, match=message):
        oracle.ask(query("first", spec))
