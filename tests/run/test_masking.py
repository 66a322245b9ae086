"""Masked gradients in rows written by hand."""

from __future__ import annotations

import pyarrow as pa
import pytest

from unshaken.run.flags import Masking
from unshaken.store.tables import schema_of

BOX = ("auto-linf-0.1", "square", False)
PGD = ("pgd-linf-0.1", "pgd", True)


def outcomes(rows):
    """From (id, condition, broken_by) or with (norm, eps) on top."""
    full = [r if len(r) == 5 else (*r, "linf", 0.1) for r in rows]
    names = ["id", "condition", "broken_by", "norm", "eps"]
    columns = {n: [r[i] for r in full] for i, n in enumerate(names)}
    return pa.table({k: pa.array(v, schema_of("outcomes").field(k).type) for k, v in columns.items()})


def turns(rows):
    columns = {
        "condition": [r[0] for r in rows],
        "attack": [r[1] for r in rows],
        "gradients": [r[2] for r in rows],
        "forwards": [r[3] if len(r) > 3 else 10 for r in rows],
    }
    return pa.table({k: pa.array(v, schema_of("turns").field(k).type) for k, v in columns.items()})


def check_masking(outcomes, turns):
    masking = Masking(turns)
    masking.add(outcomes)
    return masking.flags()


def broken(condition, by, ids, n=100):
    return [(f"s{i}", condition, by if i in ids else None) for i in range(n)]


def test_what_only_the_black_box_breaks_is_named():
    rows = [*broken(PGD[0], "pgd", {0, 1}), *broken(BOX[0], "square", {1, 2, 3, 4})]
    (flag,) = check_masking(outcomes(rows), turns([PGD, BOX]))
    assert (flag.name, flag.ids) == ("black-box-wins", ("s2", "s3", "s4"))
    assert flag.detail.startswith(
        "square breaks 3 of 100 samples at linf 0.1 that no attack with gradients breaks: gradients may be masked"
    )


@pytest.mark.parametrize(("n", "ids", "raised"), [(100, {5}, False), (100, {5, 6}, True), (2000, {1, 2, 3, 4}, False)])
def test_one_sample_or_two_in_a_thousand_are_luck(n, ids, raised):
    rows = [*broken(PGD[0], "pgd", set(), n), *broken(BOX[0], "square", ids, n)]
    assert bool(check_masking(outcomes(rows), turns([PGD, BOX]))) is raised


def test_stages_of_one_condition_are_told_apart():
    rows = [(f"s{i}", "auto", "apgd-ce" if i < 5 else "square" if i < 9 else "clean") for i in range(20)]
    phases = turns([("auto", "apgd-ce", True), ("auto", "square", False)])
    (flag,) = check_masking(outcomes(rows), phases)
    assert flag.ids == ("s5", "s6", "s7", "s8")


@pytest.mark.parametrize(
    "follower", [[], [("pgd-linf-0.1", "pgd", True, 0)]], ids=["no attack with gradients", "one that was left out"]
)
def test_a_ball_without_gradients_says_nothing(follower):
    rows = broken(BOX[0], "square", {1, 2, 3})
    assert check_masking(outcomes(rows), turns([BOX, *follower])) == []


def test_balls_of_other_norm_and_size_are_not_compared():
    weak = [(f"s{i}", "pgd-l2", None, "l2", 0.1) for i in range(50)]
    small = [(f"s{i}", "pgd-small", None, "linf", 0.01) for i in range(50)]
    rows = [*weak, *small, *broken(BOX[0], "square", {1, 2, 3}, 50)]
    phases = turns([BOX, ("pgd-l2", "pgd", True), ("pgd-small", "pgd", True)])
    assert check_masking(outcomes(rows), phases) == []


def test_a_gradient_attack_may_come_later_or_elsewhere():
    rows = [*broken(BOX[0], "square", {1, 2, 3}), *broken(PGD[0], "pgd", {1, 2, 3, 4})]
    assert check_masking(outcomes(rows), turns([PGD, BOX])) == []


def test_clean_and_stressed_rows_play_no_part():
    rows = [(f"s{i}", "fog-3", None, None, None) for i in range(9)]
    assert check_masking(outcomes(rows), turns([PGD])) == []


def test_each_ball_has_its_own_flag():
    rows = []
    for eps in (0.1, 0.2):
        rows += [(f"s{i}", f"pgd-{eps}", None, "linf", eps) for i in range(9)]
        rows += [(f"s{i}", f"spsa-{eps}", "spsa" if i < 3 else None, "linf", eps) for i in range(9)]
    phases = [(f"{name}-{eps}", name, name == "pgd") for eps in (0.1, 0.2) for name in ("pgd", "spsa")]
    assert ["linf 0.1" in f.detail for f in check_masking(outcomes(rows), turns(phases))] == [True, False]


def test_who_fell_within_a_smaller_budget_stays_with_the_search_that_broke_it():
    rows = [(f"s{i}", "auto", "square" if i < 4 else None) for i in range(20)]
    phases = turns([("auto", "apgd-ce", True), ("auto", "square", False, 0)])  # nobody was left for it at this budget
    (flag,) = check_masking(outcomes(rows), phases)
    assert flag.ids == ("s0", "s1", "s2", "s3")


def test_shards_together_say_what_all_rows_at_once_say():
    rows = [*broken(PGD[0], "pgd", {0, 1}), *broken(BOX[0], "square", {9, 1, 2, 3, 40})]
    masking = Masking(turns([PGD, BOX]))
    for first in range(0, 100, 25):
        own = {f"s{i}" for i in range(first, first + 25)}
        masking.add(outcomes([row for row in rows if row[0] in own]))
    assert masking.flags() == check_masking(outcomes(rows), turns([PGD, BOX])) != []
