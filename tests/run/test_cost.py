"""Passes a sample at most, by plan; a warning before a run that may take hours, and none before others."""

from __future__ import annotations

import warnings

import pytest

from unshaken.cli import main
from unshaken.core.registry import list_methods, parse_method
from unshaken.run import cost
from unshaken.run.cost import LongRunWarning, condition_weights, duration, passes_of, warn_if_long
from unshaken.run.plan import load_plan, prepare


def steps(*lines):
    return prepare(load_plan(list(lines)))


def test_a_step_costs_its_passes_for_each_budget():
    (pgd,) = steps({"method": "pgd", "params": {"steps": 20, "restarts": 3}, "eps": [0.1, 0.2]})
    assert passes_of(pgd, 10) == 2 * 3 * (20 + 20)
    (nearest,) = steps({"method": "deepfool", "params": {"steps": 7}, "norm": "l2", "eps": [0.5]})
    assert passes_of(nearest, 10) == nearest.method.most_passes(10)  # one search answers all budgets
    assert len(nearest.conditions) == 2
    (votes,) = steps({"method": "smoothing", "params": {"n": 5000, "n0": 50}})
    assert passes_of(votes, 10) == 5050
    assert passes_of(steps({"method": "fog", "severities": [1]})[0], 10) is None


def test_weights_share_the_cost_of_a_step():
    plan = steps({"method": "fog", "severities": [1, 3]}, {"method": "pgd", "params": {"steps": 5}, "eps": [0.1, 0.2]})
    assert condition_weights(plan, 10) == {"fog-1": 1, "fog-3": 1, "pgd-linf-0.1": 10, "pgd-linf-0.2": 10}


def test_hours_are_announced_and_minutes_are_not():
    plan = steps({"method": "pgd", "params": {"steps": 9_999_999}, "eps": [0.1]}, "fog")
    message = r"pgd needs up to 19,999,998 passes a sample; 100 samples at about 3 ms a pass are up to 69 days"
    with pytest.warns(LongRunWarning, match=message):
        warn_if_long(plan, 10, 100, 0.003)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_long(steps({"method": "pgd", "eps": [0.1]}), 10, 100, 0.003)


@pytest.mark.parametrize(("seconds", "text"), [(7199, "120 minutes"), (7200, "2 hours"), (0.2, "0 seconds")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_every_attack_says_what_it_costs_at_most():
    names = [m.name for m in list_methods("attack") if hasattr(m.cls, "most_passes")]
    assert len(names) > 10
    silent = {name for name in names if not parse_method(name, "attack").most_passes(10)}
    assert silent == {"uap", "universal-patch"}  # their search is for all samples together


def test_the_command_line_says_so_in_one_line_and_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost, "LONG", 0.0)
    line = ["attack", "--model", "demo:standard", "--data", "demo", "--method", "fgsm", "--limit", "4", "--quiet"]
    assert main([*line, "--out", str(tmp_path / "run")]) == 0
    message = capsys.readouterr().err
    assert message.startswith("unshaken: fgsm needs up to 2 passes a sample; 4 samples at about ")
    assert message.count("needs up to") == 1
