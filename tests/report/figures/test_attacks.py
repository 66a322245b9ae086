from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy.stats import beta

from unshaken.core.part import Condition, Part
from unshaken.report import build, compare_runs, schema
from unshaken.report.figures.attacks import POINTS, _grid, merged_turns
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


def summary(run: RunDir) -> dict[str, Any]:
    data = build(run).data
    jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), schema())
    return data


def test_the_norms_are_those_computed_by_hand(make_run: Make) -> None:
    # 0.1 (i % 8) for i % 8 in 1 to 5, none for 6 and 7, wrong when clean for 0; six samples each.
    (one,) = summary(make_run(plan=[], attacks=True))["minimal_norms"]
    assert (one["condition"], one["method"], one["norm"]) == ("deepfool-l2", "deepfool", "l2")
    assert one["clean"]["value"] == 42 / 48
    assert one["success"]["value"] == 30 / 42
    assert one["median"]["value"] == pytest.approx(0.4)  # the 21st and 22nd of 42
    assert one["median_of_broken"]["value"] == pytest.approx(0.3)
    assert one["mean_of_broken"]["value"] == pytest.approx(0.3)
    curve = {p["eps"]: p["accuracy"]["value"] for p in one["curve"]}
    assert curve == pytest.approx(
        {0: 42 / 48, 0.1: 36 / 48, 0.2: 30 / 48, 0.25: 30 / 48, 0.3: 24 / 48, 0.4: 18 / 48, 0.5: 12 / 48}
    )
    assert one["passes_per_sample"] == pytest.approx(15 * (42 + 30) / 48)  # `even` breaks residues 2 and 4


def test_of_several_attacks_of_a_norm_each_has_its_optimality(make_run: Make) -> None:
    lines = [Entry(method="deepfool", norm="l2", params={"steps": steps}) for steps in (50, 10)]
    run = make_run(plan=lines, shards=1, bad=False)
    file = "deepfool+2-l2-00000.parquet"
    place = f"{run}/rows/outcomes/{file}"
    table = pq.read_table(place)
    at = table.schema.get_field_index("distance")
    pq.write_table(table.set_column(at, table.schema.field(at), pc.multiply(table["distance"], 1.5)), place)
    first, second = summary(run)["minimal_norms"]
    # distances 0.1 to 0.5, so eps0 is 0.5; farther by 0.05, 0.1, 0.15, 0.1 and 0 up to there, of 0.4, 0.3, 0.2, 0.1, 0
    assert first["optimality"]["value"] == 1
    assert second["optimality"]["value"] == pytest.approx(1 - 0.4 / 1.0)
    assert second["optimality"]["low"] < second["optimality"]["value"] < second["optimality"]["high"]
    (alone,) = summary(make_run("alone", plan=lines[:1]))["minimal_norms"]
    assert "optimality" not in alone


def test_nearest_examples_are_in_no_accuracy_and_no_worst_case(make_run: Make) -> None:
    plan = [Entry(method="fog", severities=(1,))]
    data = summary(make_run(plan=plan, attacks=True))
    assert [c["condition"] for c in data["conditions"]] == ["fog-1", "deepfool-l2-0.25", "spatial"]
    assert "deepfool-l2" not in data["worst_case"]["conditions"]
    assert data["aggregates"]["worst_case"]["value"] == 5 / 8  # with nearest examples it would be 2/8
    assert [c["worst_case"]["value"] > 0.3 for c in data["classes"]] == [True] * 5
    assert data["complete"] is True


def test_a_missing_shard_of_nearest_examples_is_told(make_run: Make) -> None:
    run = make_run(plan=[], attacks=True, bad=False)
    run.remove("rows", "outcomes", "deepfool-l2-00001.parquet")
    data = summary(run)
    assert data["complete"] is False
    assert data["notes"]["deepfool-l2"] == "24 of 48 samples have no row yet"
    assert data["minimal_norms"][0]["success"]["n"] == 21


def test_an_example_that_is_still_right_is_none(make_run: Make) -> None:
    run = make_run(plan=[], attacks=True, shards=1, bad=False)
    table = run.rows("outcomes")
    table = table.filter(pc.equal(table["condition"], "deepfool-l2"))
    at = table.schema.get_field_index("distance")
    lying = table.set_column(at, "distance", pa.array([0.05] * len(table), pa.float64()))
    run.write_rows(lying, "outcomes", "deepfool-l2", 0)
    (one,) = summary(run)["minimal_norms"]
    assert one["success"]["value"] == 30 / 42


def test_with_fewer_than_half_broken_there_is_no_median(make_run: Make) -> None:
    run = make_run(plan=[], attacks=True, shards=1, bad=False)
    table = run.rows("outcomes")
    table = table.filter(pc.equal(table["condition"], "deepfool-l2"))
    at = table.schema.get_field_index("distance")
    few = [d if d is not None and d < 0.3 else None for d in table["distance"].to_pylist()]
    run.write_rows(table.set_column(at, "distance", pa.array(few, pa.float64())), "outcomes", "deepfool-l2", 0)
    (one,) = summary(run)["minimal_norms"]
    assert one["median"] is None
    assert one["success"]["value"] == 12 / 42
    assert one["median_of_broken"]["value"] == pytest.approx(0.15)


def test_all_attacks_of_a_norm_are_taken_together_sample_by_sample(make_run: Make) -> None:
    # l2: deepfool as above; pgd at 0.5 breaks i % 8 below 4 (strength 4), which deepfool has too
    plan = [Entry(method="pgd", norm="l2", eps=(0.15,)), Entry(method="fgsm", eps=("8/255",))]
    norms = {n["norm"]: n for n in summary(make_run(plan=plan, attacks=True))["norms"]}
    assert set(norms) == {"l2", "linf"}
    assert norms["l2"]["conditions"] == ["pgd-l2-0.15", "deepfool-l2-0.25", "deepfool-l2"]
    curve = {p["eps"]: p["accuracy"]["value"] for p in norms["l2"]["curve"]}
    # pgd breaks residues 1, 2, 3 within 0.15; deepfool 1 within 0.1, 4 within 0.4, 5 within 0.5
    assert curve == pytest.approx({0: 42 / 48, 0.1: 36 / 48, 0.15: 24 / 48, 0.25: 24 / 48, 0.4: 18 / 48, 0.5: 12 / 48})
    assert [p["eps"] for p in norms["linf"]["curve"]] == [0, 8 / 255]
    assert norms["linf"]["median"] is None


def test_the_curves_agree_with_the_conditions_at_their_budgets(make_run: Make) -> None:
    data = summary(make_run(attacks=True))
    curve = {p["eps"]: p["accuracy"] for p in data["minimal_norms"][0]["curve"]}
    (condition,) = [c for c in data["conditions"] if c["condition"] == "deepfool-l2-0.25"]
    assert curve[0.25] == condition["accuracy"]


def test_a_comparison_leaves_nearest_examples_out_and_says_so(make_run: Make) -> None:
    (one,) = compare_runs([make_run("a", plan=[], attacks=True), make_run("b", plan=[], attacks=True)]).runs
    assert [c.condition.id for c in one.conditions] == ["clean", "deepfool-l2-0.25", "spatial"]
    assert (one.only_baseline, one.only_candidate) == ((), ())
    assert any(n.startswith("deepfool-l2: holds nearest examples") for n in one.notes)


def test_the_grid_is_rounded_up_so_that_no_distance_is_left_out() -> None:
    distance = np.array([0.012341, 0.5, np.inf, 12.3456])
    assert _grid(distance, [0.3]).tolist() == [0, 0.0124, 0.3, 0.5, 12.4]
    many = _grid(np.random.default_rng(0).random(1000), [])
    assert len(many) <= POINTS + 1
    assert many[-1] >= 0.99
