"""Rows to choose by and rows to judge by."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition, Part
from unshaken.papers.roles import Roles, all_roles_used, check_role, choosing
from unshaken.papers.rows import Rows
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

ROLES = Roles(np.array([True, True, False, False]))
VALUES = np.array([1, 2, 3, 4])


def test_each_part_of_the_rows_is_seen_at_its_time_alone():
    assert ROLES.rows(VALUES).tolist() == [3, 4]
    with choosing():
        assert ROLES.rows(VALUES).tolist() == [1, 2]
        assert ROLES.rows(VALUES, VALUES > 1).tolist() == [2]
    assert ROLES.rows(VALUES, VALUES > 3).tolist() == [4]


def test_an_error_ends_choosing():
    with pytest.raises(RuntimeError), choosing():
        raise RuntimeError
    assert ROLES.rows(VALUES).tolist() == [3, 4]


def test_a_set_with_one_role_is_refused_in_the_other():
    check_role("photos", chooses=False)
    with pytest.raises(ParameterError, match="'calibration' serve to choose by, not to judge by"):
        check_role("calibration", chooses=True)
    with choosing():
        check_role("calibration", chooses=True)
        with pytest.raises(ParameterError, match="'photos' serve to judge by, not to choose by"):
            check_role("photos", chooses=False)


def test_a_set_must_serve_both_purposes():
    with pytest.raises(ParameterError, match="'a set' are divided, but served to judge by alone"), all_roles_used():
        Roles(ROLES.chosen_by).rows(VALUES)
    with pytest.raises(ParameterError, match="'x' are divided, but served to choose"), all_roles_used(), choosing():
        Roles(ROLES.chosen_by, "x").rows(VALUES)
    with all_roles_used():
        both = Roles(ROLES.chosen_by)
        both.rows(VALUES)
        with choosing():
            both.rows(VALUES)


def test_what_needs_no_choice_is_held_out_from_every_choice():
    with all_roles_used():
        assert ROLES.held_out(VALUES, VALUES > 3).tolist() == [4]
        with choosing(), pytest.raises(ParameterError, match="serve to judge by, not to choose by"):
            ROLES.held_out(VALUES)


@pytest.fixture
def run(tmp_path):
    """Forty images under two conditions."""
    run, ids = RunDir(tmp_path), [f"i{n}" for n in range(40)]
    for condition, every in (("s0.held", 2), ("s0.test", 4)):
        right = [n % every == 0 for n in range(40)]
        part = Part("outcomes", Condition(condition, "clean"), {"id": ids, "correct": right})
        run.write_rows(table_of(part), "outcomes", condition, 0)
    return run


def test_conditions_that_choose_are_never_judged(run):
    rows = Rows(run, "toy", 0, chooses={"outcomes": "*.held"}).within("s0")
    assert rows.labels() == ["held", "test"]
    assert rows.accuracy("test")["value"] == 0.25
    assert set(rows.grouped("outcomes")) == {"test"}
    with pytest.raises(ParameterError, match=r"'outcomes s0\.held' serve to choose by, not to judge by"):
        rows.accuracy("held")
    with choosing():
        assert rows.accuracy("held")["value"] == 0.5
        assert set(rows.grouped("outcomes")) == {"held"}
        with pytest.raises(ParameterError, match=r"'outcomes s0\.test' serve to judge by, not to choose by"):
            rows.accuracy("test")


def test_half_of_the_images_choose_under_every_condition(run):
    rows = Rows(run, "toy", 0)
    whole, half = rows.table("outcomes", "s0.test")["id"].to_pylist(), rows.halved()
    judges = {label: half.table("outcomes", label)["id"].to_pylist() for label in ("s0.held", "s0.test")}
    with choosing():
        chooses = half.table("outcomes", "s0.held")["id"].to_pylist()
    assert judges["s0.held"] == judges["s0.test"]
    assert sorted(judges["s0.test"] + chooses) == sorted(whole)
    assert 10 < len(chooses) < 30
    with pytest.raises(ParameterError, match="served to judge by alone"), all_roles_used():
        rows.halved().accuracy("s0.test")
