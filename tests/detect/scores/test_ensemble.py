"""Disagreement with further models: by hand, counted, and refused where members do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import View
from unshaken.core.errors import ModelError, ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.screen import FittedDetector, screen
from unshaken.detect.scores import ensemble
from unshaken.detect.scores.ensemble import EnsembleDisagreement


class FixedLogits(nn.Module):
    """The same logits for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


MEMBERS = {
    "same": Classifier(FixedLogits(2.0, 0.0), name="same").eval(),
    "other": Classifier(FixedLogits(0.0, 2.0), name="other").eval(),
    "three": Classifier(FixedLogits(0.0, 2.0, 1.0), name="three").eval(),
    "large": Classifier(FixedLogits(0.0, 2.0), name="large", view=View(9, 9)).eval(),
}


@pytest.fixture(autouse=True)
def _members_by_name(monkeypatch):
    monkeypatch.setattr(ensemble, "second_model", MEMBERS.__getitem__)


def scored(members: str, measure: str = "mutual-information") -> tuple[list[float], Oracle]:
    oracle = Oracle(MEMBERS["same"], limit=2)
    batch = Batch(torch.zeros(3, 1, 4, 4), None, ("a", "b", "c"))
    fitted = {"e": FittedDetector(EnsembleDisagreement(members=members, measure=measure), {}, torch.zeros(0))}
    found = screen(fitted, Anatomy("same", 2, None, ()), batch, oracle)["e"]
    assert found.forwards.tolist() == [members.count("+") + 1] * 3
    return found.score.tolist(), oracle


def test_members_that_agree_and_members_that_do_not():
    assert scored("same+same")[0] == pytest.approx([0, 0, 0], abs=1e-12)
    p = torch.tensor([2.0, 0.0]).double().softmax(0)
    alone = -(p * p.log()).sum().item()
    torn, oracle = scored("other")
    assert torn == pytest.approx([torch.tensor(2.0).double().log().item() - alone] * 3)
    assert oracle.meter.forwards == 6
    assert scored("other", "max-variance")[0] == pytest.approx([((p[0] - p[1]) / 2).item() ** 2] * 3)


def test_bad_members_are_one_clear_line():
    with pytest.raises(ModelError, match="'three' has 3 classes, the model 2"):
        scored("three")
    with pytest.raises(ModelError, match=r"'large' takes images of \(9, 9\)"):
        scored("large")
    with pytest.raises(ParameterError, match="members='same\\+' has an empty item"):
        scored("same+")
    with pytest.raises(ParameterError, match="members"):
        EnsembleDisagreement()


MODELS = {
    "first": Classifier(FixedLogits(2.0, 0.0)).eval(),
    "second": Classifier(FixedLogits(0.0, 3.0)).eval(),
    "three-classes": Classifier(FixedLogits(0.0, 2.0, 1.0)).eval(),
    "large": Classifier(FixedLogits(0.0, 2.0), view=View(9, 9)).eval(),
}


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.setattr(ensemble, "second_model", MODELS.__getitem__)
    return Oracle(MODELS["first"], limit=2)


def query(*specs):
    return ensemble.Members(torch.zeros(3, 1, 4, 4), specs, 2)


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
