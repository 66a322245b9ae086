from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from scipy.stats import beta

from unshaken.core.part import Condition, Part
from unshaken.report import build, schema
from unshaken.report.figures.turns import merged_turns
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

Make = Callable[..., RunDir]
PGD = [Entry(method="pgd", eps=("2/255", "8/255", 0.1))]


def attacks_of(run: RunDir) -> dict[str, dict[str, Any]]:
    data = build(run).data
    jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), schema())
    return {a["condition"]: a for a in data["attacks"]}


def test_the_accuracy_after_each_turn_is_that_counted_by_hand(make_run: Make) -> None:
    # 48 samples, 6 of each i % 8. Wrong when clean: 0. Within 2/255 also 1 and 2, within 8/255 also 3.
    found = attacks_of(make_run(plan=PGD))
    first, second, third = found.values()
    assert list(found) == ["pgd-linf-0.00784314", "pgd-linf-0.0313725", "pgd-linf-0.1"]
    assert first["clean"]["value"] == first["before"]["value"] == 42 / 48
    assert [(t["attack"], t["standing"], t["broken"]) for t in first["turns"]] == [("even", 42, 6), ("odd", 36, 6)]
    assert [t["accuracy"]["value"] for t in first["turns"]] == [36 / 48, 30 / 48]
    assert first["turns"][1]["accuracy"]["low"] == pytest.approx(beta.ppf(0.025, 30, 19))
    assert first["turns"][1]["accuracy"]["high"] == pytest.approx(beta.ppf(0.975, 31, 18))
    assert [t["accuracy"]["value"] for t in second["turns"]] == [30 / 48, 24 / 48]
    assert [t["accuracy"]["value"] for t in third["turns"]] == [12 / 48, 0]
    assert second["before"]["value"] == 30 / 48


def test_passes_add_up_over_turns_and_over_the_budgets_of_a_line(make_run: Make) -> None:
    first, second, third = attacks_of(make_run(plan=PGD)).values()
    # 15 passes a sample that stands: 42 and 36 of 48, then 30 and 30, then 24 and 12.
    assert [t["passes_per_sample"] for t in first["turns"]] == pytest.approx([630 / 48, 1170 / 48])
    assert [t["passes_per_sample"] for t in second["turns"]] == pytest.approx([450 / 48, 900 / 48])
    assert [a["passes_before"] for a in (first, second, third)] == pytest.approx([0, 1170 / 48, 2070 / 48])
    assert (first["turns"][0]["forwards"], first["turns"][0]["backwards"]) == (420, 210)
    assert first["turns"][0]["seconds"] == pytest.approx(1.0)  # two shards of 0.5


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_turns_do_not_depend_on_shards(make_run: Make, shards: int) -> None:
    one, many = (attacks_of(make_run(f"run{k}", plan=PGD, shards=k)) for k in (1, shards))
    for attack in (*one.values(), *many.values()):
        for turn in attack["turns"]:
            turn.pop("seconds")
    assert one == many


def test_only_finished_shards_count(make_run: Make) -> None:
    run = make_run(plan=PGD, shards=2, bad=False)
    run.remove("rows", "outcomes", "pgd-linf-0.1-00001.parquet")
    (turns,) = [a["turns"] for a in attacks_of(run).values() if a["eps"] == 0.1]
    assert turns[-1]["accuracy"]["n"] == 24
    assert turns[0]["standing"] == 12  # i % 8 in 4, 5, 6, 7, of 24


def test_shards_that_chose_differently_are_both_named(make_run: Make) -> None:
    run = make_run(plan=[Entry(method="pgd", eps=(0.1,))], shards=2, bad=False)
    one = Condition("pgd-linf-0.1", "pgd", eps=0.1, norm="linf")
    columns: dict[str, Any] = {
        "condition": [one.id], "turn": [0], "attack": ["other"], "why": [""], "standing": [21], "broken": [21],
        "forwards": [1], "backwards": [1], "seconds": [0.0],
    }  # fmt: skip
    run.write_rows(table_of(Part("turns", one, columns)), "turns", one.id, 1)
    first, second = merged_turns(run, one.id)
    assert (first["attack"], first["standing"]) == ("even or other", 42)
    assert second["attack"] == "odd"


def test_a_minimal_norm_attack_has_one_turn_a_budget(make_run: Make) -> None:
    # nearest examples at 0.1 (i % 8): within 0.25 fall i % 8 in 1, 2; its turns broke 1 to 5 at any distance.
    found = attacks_of(make_run(plan=[], attacks=True))
    assert list(found) == ["deepfool-l2-0.25", "spatial"]
    deepfool = found["deepfool-l2-0.25"]
    assert [(t["attack"], t["standing"], t["broken"]) for t in deepfool["turns"]] == [("even, odd", 42, 12)]
    assert deepfool["turns"][0]["accuracy"]["value"] == 30 / 48
    assert deepfool["passes_before"] == 0


def test_an_attack_without_a_norm_is_an_attack_and_counts(make_run: Make) -> None:
    data = build(make_run(plan=[Entry(method="fog", severities=(1,))], attacks=True)).data
    spatial = next(a for a in data["attacks"] if a["condition"] == "spatial")
    assert (spatial["eps"], spatial["norm"]) == (None, None)
    groups = {c["condition"]: c["group"] for c in data["conditions"]}
    assert groups == {"fog-1": "weather", "deepfool-l2-0.25": "attack", "spatial": "attack"}
    assert data["aggregates"]["worst_natural"]["value"] == 7 / 8
    assert data["aggregates"]["worst_attack"]["value"] == data["aggregates"]["worst_case"]["value"] == 5 / 8


def test_a_run_without_turns_has_no_attacks_and_its_figures_stay(make_run: Make) -> None:
    old, new = (build(make_run(f"{t}", plan=PGD, turns=t)).data for t in (False, True))
    assert old["attacks"] == []
    assert [c["accuracy"] for c in old["conditions"]] == [c["accuracy"] for c in new["conditions"]]
    assert old["norms"] == new["norms"]


def test_damaged_turns_are_named(make_run: Make) -> None:
    from unshaken.core.errors import RunError

    run = make_run(plan=PGD)
    run.write(b"PAR1nonsense", "rows", "turns", "pgd-linf-0.1-00000.parquet")
    with pytest.raises(RunError, match=r"rows/turns/pgd-linf-0\.1-00000\.parquet is damaged"):
        build(run)
