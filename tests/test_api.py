"""`unshaken.attack`: mode and budget."""

import sys

import pytest
import torch
from safetensors.torch import save_file

import unshaken
import unshaken.api
from unshaken.core.errors import ParameterError, RunError
from unshaken.models.loaders.load import second_model
from unshaken.models.networks.small import SmallNet


@pytest.mark.parametrize(
    ("attack", "options", "words"),
    [
        ("auto", {"budget": "many"}, "budget 'many' must be passes per sample, such as 2000, or seconds, such as 60s"),
        ("auto", {"budget": "0"}, "budget '0' must be passes"),
        ("auto", {"budget": "-3s"}, "budget '-3s' must be passes"),
        ("auto", {"budget": "2.5"}, "budget '2.5' must be passes"),
        ("autoattack", {"budget": "100"}, "autoattack has no passes"),
        ("pgd", {"mode": "fast"}, "pgd has no mode"),
        ("pgd", {"budget": "60s"}, "pgd has no seconds"),
        ("autoattack", {"mode": "quick"}, "mode='quick'"),
    ],
)
def test_a_wrong_mode_or_budget_is_refused_before_anything_is_loaded(attack, options, words):
    with pytest.raises(ParameterError) as caught:
        unshaken.attack("py:nowhere.py:none", "folder:/nowhere", attack, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ({"budget": "2000"}, {"passes": 2000}),
        ({"budget": "1.5s"}, {"seconds": 1.5}),
        ({"mode": "fast"}, {"mode": "fast"}),
        ({"mode": "fast", "budget": "7"}, {"mode": "fast", "passes": 7}),
        ({}, {}),
    ],
)
def test_mode_and_budget_become_parameters(options, params, monkeypatch):
    seen = []
    monkeypatch.setattr(
        sys.modules["unshaken.api.attack"], "run_plan", lambda model, data, plan, *a, **k: seen.extend(plan)
    )
    unshaken.attack("demo", "demo", "auto:steps=9", norm="l2", eps="0.5", **options)
    assert seen == [{"method": "auto", "params": {"steps": 9, **params}, "norm": "l2", "eps": [0.5]}]


def test_a_run_is_not_resumed_with_another_surrogate(tmp_path):
    """The surrogate's weights decide the rows as the model's do."""
    file = tmp_path / "surrogate.safetensors"

    def write(seed):
        torch.manual_seed(seed)
        save_file(SmallNet().state_dict(), file)
        second_model.cache_clear()

    def look(**options):
        attack = f"transfer:surrogate=weights:{file}?arch=small,steps=2"
        return unshaken.attack("demo:standard", "demo", attack, eps=0.1, limit=5, out=tmp_path / "run", **options)

    write(0)
    look()
    look(resume=True)
    write(1)
    with pytest.raises(RunError, match=r"another configuration \(further_models: "):
        look(resume=True)
