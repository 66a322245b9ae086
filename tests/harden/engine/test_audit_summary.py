"""The part of an audit's summary that a repair needs: what is read, and what is refused."""

from __future__ import annotations

import json
import math

import pytest

from unshaken.core.errors import RunError
from unshaken.harden.engine.audit_summary import NAME, read_summary
from unshaken.store.run_dir import RunDir

CONDITION = {"condition": "pgd-linf-0.1", "method": "pgd", "norm": "linf", "eps": 0.1, "accuracy": {"value": 0.25}}


def test_what_a_repair_does_not_need_is_left_aside(tmp_path):
    run = RunDir(tmp_path)
    run.write_json({"schema": 1, "clean": {"value": 0.9, "n": 10}, "conditions": [CONDITION]}, "summary.json")
    found = read_summary(run)
    assert (found.clean.value, found.cost.seconds) == (0.9, 0)
    (one,) = found.conditions
    assert (one.condition, one.eps, one.accuracy.value, one.group) == ("pgd-linf-0.1", 0.1, 0.25, None)


@pytest.mark.parametrize("wrong", [{"eps": -1}, {"accuracy": {"value": 1.5}}, {"accuracy": {}}, {"condition": None}])
def test_a_damaged_summary_is_named_with_the_command_that_makes_it_again(tmp_path, wrong):
    run = RunDir(tmp_path)
    run.write_json({"conditions": [CONDITION | wrong]}, "summary.json")
    with pytest.raises(RunError, match=r"summary.json .*make it again with unshaken report"):
        read_summary(run)


def test_a_budget_beyond_all_numbers_is_damage(tmp_path):
    run = RunDir(tmp_path)
    run.write(json.dumps({"conditions": [CONDITION | {"eps": math.inf}]}).replace("Infinity", "1e999").encode(), NAME)
    with pytest.raises(RunError, match=r"summary\.json"):
        read_summary(run)
