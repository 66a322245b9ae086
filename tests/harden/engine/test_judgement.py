from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pyarrow as pa
import pytest

from unshaken.core.errors import RunError
from unshaken.harden.engine.judgement import NAME, AuditFigures, audit_figures, read_summary, reference, refusal
from unshaken.measure import share
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


def test_figures_of_an_audit_by_hand():
    rows = {
        "condition": ["clean"] * 4 + ["fog"] * 4 + ["snow"] * 4,
        "label": [0, 0, 1, 1] * 3,
        "correct": [True, True, True, False, True, None, False, False, True, True, True, True],
    }
    run = SimpleNamespace(rows=lambda name, columns: pa.table(rows))
    found = audit_figures(run, [("fog", "snow"), ()])
    assert found.accuracy == share(3, 4)
    assert found.aimed == pytest.approx(((1 / 3 + 1) / 2 + 1 / 2) / 2)  # of class 1 one in two is right
    assert audit_figures(run, []).aimed is None
    with pytest.raises(RunError, match="has no outcomes of rain"):
        audit_figures(run, [("rain",)])


@pytest.mark.parametrize(
    ("held", "seen", "known"),
    [
        ((140, 140), (228, 300), True),
        ((130, 140), (234, 300), True),
        ((110, 140), (228, 300), False),  # as hard as the audited ones
        ((6, 6), (30, 40), False),  # too few to tell
        ((9990, 10000), (9800, 10000), False),  # beyond chance, but by 2 points only
        ((20, 140), (228, 300), False),  # harder
    ],
)
def test_held_out_images_that_a_model_knows_are_those_far_easier_for_it(held, seen, known):
    found = reference(share(*held), AuditFigures(share(*seen), 0.3))
    assert (found is not None) == known
    if found is not None:
        assert (found.accuracy, found.aimed) == (seen[0] / seen[1], 0.3)
        assert f"of {held[1]} images held out of --data but on {seen[0] / seen[1]:.1%} of the {seen[1]}" in found.why


@pytest.mark.parametrize(
    ("after", "most", "shown"),
    [
        ((80, 0.5), 0.2, ""),
        ((61, 0.5), 0.2, ""),
        ((59, 0.5), 0.2, "went from 80.0% to 59.0% (max_clean_loss allows 20 points)"),
        ((60, 0.5), 0.2, ""),  # as much as allowed
        ((59, 0.5), None, ""),
        ((80, 0.31), 0.2, ""),  # as much better as is needed
        ((80, 0.305), 0.2, "was 30.0% before and is 30.5%"),
        ((80, None), 0.2, ""),
    ],
)
def test_worse_weights_are_refused(after, most, shown):
    why = refusal(AuditFigures(share(80, 100), 0.3), AuditFigures(share(after[0], 100), after[1]), most)
    assert bool(why) == bool(shown)
    assert shown in why
