"""Audits from other people's training loops."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import unshaken
from unshaken.callbacks import EpochAudit, lightning_callback
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError, UnshakenError

PLAN = [{"method": "brightness", "severities": [5]}]
FEW: dict[str, Any] = {"plan": PLAN, "limit": 20, "save_examples": 0}


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Dropout(0.5), nn.Linear(784, 10))


def test_every_second_epoch_is_audited_and_the_training_is_left_as_it_was(tmp_path):
    model, check = net(), EpochAudit("demo", out=tmp_path / "runs", every=2, **FEW)
    model.train()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model[3].weight.grad = torch.ones(10, 784)
    state = torch.get_rng_state()
    found = [check(model, epoch) for epoch in range(4)]
    assert [bool(f) for f in found] == [True, False, True, False]
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["epoch-0000", "epoch-0002"]
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model] == [True, False, True, True]
    assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(model[3].weight.grad, torch.ones(10, 784))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert check.last == found[2]
    assert check(model, 2) == {}


def test_figures_are_those_of_an_audit_of_the_wrapped_network(tmp_path):
    model = net()
    check = EpochAudit("demo", out=tmp_path / "runs", wrap=lambda m: Classifier(m, mean=[0.3], std=[0.4]), **FEW)
    figures = check(model, 0)
    alone = unshaken.audit(Classifier(model.eval(), mean=[0.3], std=[0.4]), "demo", out=tmp_path / "alone", **FEW)
    for tail, end in {"": "value", "_low": "low", "_high": "high"}.items():
        assert figures[f"robust/clean{tail}"] == alone.summary["clean"][end]
    assert figures["robust/conditions.brightness-5.accuracy"] == alone.summary["conditions"][-1]["accuracy"]["value"]


def test_what_is_wrong_is_known_before_the_training(tmp_path):
    with pytest.raises(ParameterError, match="every"):
        EpochAudit("demo", out=tmp_path, every=0)
    with pytest.raises(ParameterError, match="no plan 'quik'"):
        EpochAudit("demo", out=tmp_path, plan="quik")
    with pytest.raises(TypeError, match="'limt'; did you mean 'limit'"):
        EpochAudit("demo", out=tmp_path, limt=3)
    (tmp_path / "epoch-0000").mkdir()
    with pytest.raises(ParameterError, match="holds audits of another training: give an empty folder"):
        EpochAudit("demo", out=tmp_path)


def test_lightning_gets_figures_from_the_first_process_alone(tmp_path, monkeypatch):
    fake = ModuleType("lightning.pytorch")
    fake.Callback = type("Callback", (), {})
    monkeypatch.setitem(sys.modules, "lightning", ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", fake)
    check = EpochAudit("demo", out=tmp_path / "runs", **FEW)
    callback = lightning_callback(check)
    assert isinstance(callback, fake.Callback)
    logged = []
    logger = SimpleNamespace(log_metrics=lambda figures, step: logged.append((step, figures)))
    trainer = SimpleNamespace(is_global_zero=False, current_epoch=0, global_step=7, loggers=[logger])
    callback.on_train_epoch_end(trainer, net())
    assert logged == []
    trainer.is_global_zero = True
    callback.on_train_epoch_end(trainer, net())
    callback.on_train_epoch_end(trainer, net())
    assert logged == [(7, check.last)]


def test_without_lightning_its_name_is_said(monkeypatch, tmp_path):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnshakenError, match="pip install lightning"):
        lightning_callback(EpochAudit("demo", out=tmp_path, **FEW))
