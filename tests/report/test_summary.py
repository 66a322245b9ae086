from __future__ import annotations

import json
from collections.abc import Callable

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import beta

from unshaken.core import Batch
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.part import CLEAN, Condition, Part
from unshaken.report import build, schema
from unshaken.report.summary import finite
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

Make = Callable[..., RunDir]


def test_the_summary_follows_its_schema_and_the_schema_forbids_a_bare_number(make_run: Make) -> None:
    data = build(make_run(), baseline=make_run("base")).data
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    validator.validate(json.loads(json.dumps(data, allow_nan=False)))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(data | {"clean": 0.9})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({k: v for k, v in data.items() if k != "flags"})


def test_accuracies_are_those_counted_by_hand(make_run: Make) -> None:
    # 48 samples; clean: i % 8 == 0 is wrong (6); severity s: i % 8 < s is wrong (6 s).
    data = build(make_run()).data
    assert data["clean"]["value"] == 42 / 48
    assert data["clean"]["low"] == pytest.approx(beta.ppf(0.025, 42, 7))
    assert data["clean"]["high"] == pytest.approx(beta.ppf(0.975, 43, 6))
    by_id = {c["condition"]: c for c in data["conditions"]}
    assert by_id["fog-3"]["accuracy"]["value"] == 30 / 48
    assert by_id["fog-3"]["consistency"]["value"] == 36 / 48  # i % 8 in {1, 2} differ from the clean prediction
    assert by_id["fog-3"]["forwards"] == 2 * 48
    assert by_id["pgd-linf-0.1"]["accuracy"]["value"] == 0  # 2 + 60 * 0.1 = 8
    assert by_id["pgd-linf-0.1"]["norm"] == "linf"
    assert "severity" not in by_id["pgd-linf-0.1"]
    assert "eps" not in by_id["fog-3"]


def test_conditions_stand_in_the_order_of_the_plan(make_run: Make) -> None:
    names = [c["condition"] for c in build(make_run()).data["conditions"]]
    assert names[:3] == ["gaussian_noise-1", "gaussian_noise-3", "gaussian_noise-5"]
    assert [n for n in names if n.startswith("pgd-linf")] == [
        "pgd-linf-0.00784314",
        "pgd-linf-0.0313725",
        "pgd-linf-0.1",
    ]
    assert len(names) == 13


def test_aggregates_are_those_computed_by_hand(make_run: Make) -> None:
    data = build(make_run()).data
    # gaussian noise and fog: errors 1/8, 3/8, 5/8, mean 3/8; frost at 3: 3/8. The mean over corruptions is 3/8.
    assert data["aggregates"]["mean_error"]["value"] == pytest.approx(3 / 8)
    assert data["aggregates"]["mean_error_noise"]["value"] == pytest.approx(3 / 8)
    assert data["aggregates"]["mean_error_blur"] is None
    assert data["notes"]["mean_error_blur"] == "no blur corruption was run"
    assert data["aggregates"]["mce"] is None
    assert "not ImageNet's" in data["notes"]["mce"]
    assert data["aggregates"]["worst_case"]["value"] == 0
    assert data["aggregates"]["worst_natural"]["value"] == 3 / 8
    assert data["aggregates"]["worst_attack"]["value"] == 0
    assert data["worst_case"]["first_broken"]["gaussian_noise-3"] == 12  # 3/8 wrong there, 1/8 was wrong before
    assert data["worst_case"]["broken_by_this_alone"]["pgd-linf-0.1"] == 18  # i % 8 >= 5


def test_mce_is_given_where_it_applies_and_frost_by_rule_takes_it_away(make_run: Make) -> None:
    from unshaken.measure import BENCHMARK
    from unshaken.measure.robustness.corruption import ALEXNET_ERROR

    names = ["tench, Tinca tinca", *(f"class {i}" for i in range(1, 1000))]
    plan = [Entry(method=m, severities=(1, 2, 3, 4, 5)) for m in BENCHMARK]
    options = {"n": 8, "shards": 1, "classes": names, "pictures": 0, "bad": False}
    data = build(make_run("rule", plan=plan, **options)).data
    assert data["aggregates"]["mce"] is None
    assert "frost" in data["notes"]["mce"]
    own = [
        e if e.method != "frost" else Entry(method="frost", severities=e.severities, params={"textures": "ice"})
        for e in plan
    ]
    data = build(make_run("own", plan=own, **options)).data
    # Errors s/8 at severity s: their sum over 1..5 is 15/8, AlexNet's is five times its mean.
    assert data["aggregates"]["mce"]["value"] == pytest.approx(
        np.mean([15 / 8 / (5 * ALEXNET_ERROR[m]) for m in BENCHMARK])
    )
    assert "mce" not in data["notes"]


def test_attacks_have_a_curve_and_a_median(make_run: Make) -> None:
    one = next(a for a in build(make_run()).data["budgets"] if a["series"] == "pgd-linf")
    # wrong: i % 8 < 2.47, 3.88, 8 -> 3, 4, 8 of eight; clean-wrong: 1 of eight
    assert [f["value"] for f in one["robust_accuracy"]] == pytest.approx([5 / 8, 4 / 8, 0])
    assert [f["value"] for f in one["success"]] == pytest.approx([2 / 7, 3 / 7, 1])
    assert one["median_eps"]["value"] == pytest.approx(0.1)


def test_attacks_that_share_a_budget_are_taken_together(make_run: Make) -> None:
    (both,) = build(make_run()).data["robust"]
    assert (both["norm"], both["attacks"]) == ("linf", ["fgsm", "pgd"])
    assert both["accuracy"]["value"] == 4 / 8


def test_brier_and_ece_agree_with_scikit_learn_and_a_plain_loop(make_run: Make) -> None:
    from sklearn.metrics import brier_score_loss

    run = make_run(bad=False)
    data = build(run).data
    rows = run.rows("outcomes").to_pylist()
    clean = [r for r in rows if r["condition"] == "clean"]
    z = np.array([r["logits"] for r in clean], np.float64)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = np.array([r["label"] for r in clean])
    expected = sum(brier_score_loss(y == k, p[:, k]) for k in range(5))
    assert data["aggregates"]["brier"]["value"] == pytest.approx(expected)
    total = 0.0
    for b in range(15):
        inside = [r for r in clean if b / 15 < r["confidence"] <= (b + 1) / 15]
        if inside:
            total += abs(sum(r["correct"] - r["confidence"] for r in inside)) / len(clean)
    assert data["aggregates"]["ece"]["value"] == pytest.approx(total)
    assert sum(b["accuracy"]["n"] for b in data["calibration"]["bins"]) == 48


def test_classes_have_their_own_accuracy(make_run: Make) -> None:
    classes = build(make_run(n=40, plan=[Entry(method="fog", severities=(3,))])).data["classes"]
    # label i % 5, wrong when i % 8 == 0: i = 0, 8, 16, 24, 32 have labels 0, 3, 1, 4, 2: one in each class of 8.
    assert [c["clean"]["value"] for c in classes] == [7 / 8] * 5
    assert [c["worst_case"]["value"] for c in classes] == [5 / 8] * 5
    assert [c["worst_natural"]["value"] for c in classes] == [5 / 8] * 5
    assert classes[1]["name"] == "<script>alert(1)</script>"


def test_without_labels_consistency_takes_the_place_of_accuracy(make_run: Make) -> None:
    data = build(make_run(labelled=False)).data
    jsonschema.validate(data, schema())
    assert data["clean"] is None
    assert {c["accuracy"] for c in data["conditions"]} == {None}
    assert next(c for c in data["conditions"] if c["condition"] == "fog-3")["consistency"]["value"] == 36 / 48
    assert (data["aggregates"]["worst_case"], data["calibration"], data["classes"]) == (None, None, [])
    assert "no labels" in data["notes"]["accuracy"]


def test_flags_are_merged_over_shards_and_samples(make_run: Make) -> None:
    flags = {f["name"]: f for f in build(make_run()).data["flags"]}
    assert flags["zero-gradient"]["ids"] == ["dir/000.png", "dir/001.png", "dir/002.png"]
    assert flags["train-mode"]["ids"] == []


def test_bad_samples_are_named_and_are_in_no_figure(make_run: Make) -> None:
    data = build(make_run()).data
    assert data["bad_samples"] == [{"id": "dir/<b>broken</b>.png", "reason": "cannot identify image file"}]
    assert data["clean"]["n"] == 48
    assert data["provenance"]["samples"] == 49
    assert data["provenance"]["evaluated"] == 48


def test_a_condition_that_failed_for_a_sample_is_told(make_run: Make) -> None:
    run = make_run(n=4, shards=1, bad=False, plan=[Entry(method="fog", severities=(3,))])
    fog = Condition("fog-3", "fog", severity=3)
    table = run.rows("outcomes").filter(pa.compute.equal(run.rows("outcomes")["condition"], "fog-3"))
    broken = table_of(Part("outcomes", fog, {"id": ["dir/003.png"], "error": ["too small"]}))
    run.write_rows(pa.concat_tables([table.slice(0, 3), broken]), "outcomes", "fog-3", 0)
    data = build(run).data
    assert data["bad_samples"] == [{"id": "dir/003.png", "reason": "fog-3: too small"}]
    assert data["conditions"][0]["accuracy"]["n"] == 3
    assert (data["complete"], "fog-3" in data["notes"]) == (True, False)  # nothing is left to be run
    run.write_rows(table.slice(0, 3), "outcomes", "fog-3", 0)
    data = build(run).data
    assert (data["complete"], data["notes"]["fog-3"]) == (False, "1 of 4 samples has no row yet")


def test_cost_and_overhead_are_sums(make_run: Make) -> None:
    cost = build(make_run(plan=[Entry(method="fog", severities=(1,))], bad=False)).data["cost"]
    # two conditions with clean, two shards: four rows of 0.9 s wall, 0.5 s model, 0.25 s method
    assert cost["overhead"] == pytest.approx(0.9 / 0.75)
    assert cost["seconds"] == pytest.approx(3.6)
    assert (cost["forwards"], cost["backwards"], cost["largest_batch"]) == (2 * 96, 12, 8)
    assert [s["step"] for s in cost["steps"]] == ["clean", "fog-1"]


def test_without_cost_rows_the_samples_passes_are_summed(make_run: Make) -> None:
    cost = build(make_run(plan=[Entry(method="fog", severities=(1,))], cost=False)).data["cost"]
    assert (cost["forwards"], cost["overhead"], cost["steps"]) == (2 * 96, None, [])


def test_an_unfinished_run_says_so(make_run: Make) -> None:
    run = make_run(bad=False)
    run.remove("rows", "outcomes", "fog-3-00001.parquet")
    data = build(run).data
    assert data["complete"] is False
    assert data["notes"]["fog-3"] == "24 of 48 samples have no row yet"
    assert data["aggregates"]["worst_case"]["n"] == 24
    assert "24 samples" in data["notes"]["worst_case"]
    assert build(make_run("whole")).data["complete"] is True


def test_not_a_number_never_reaches_the_json(make_run: Make) -> None:
    run = make_run(n=8, shards=1, bad=False, plan=[Entry(method="fog", severities=(1,))])
    rows = run.rows("outcomes")
    clean = rows.filter(pa.compute.equal(rows["condition"], "clean"))
    place = clean.schema.get_field_index("confidence")
    values = [float("nan"), *clean["confidence"].to_pylist()[1:]]
    clean = clean.set_column(place, "confidence", pa.array(values, pa.float32()))
    place = clean.schema.get_field_index("logits")
    logits = [[float("nan")] * 5, *clean["logits"].to_pylist()[1:]]
    run.write_rows(clean.set_column(place, "logits", pa.array(logits, pa.list_(pa.float32()))), "outcomes", "clean", 0)
    data = build(run).data
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text)["calibration"]["ece"]["n"] == 7
    assert "for lack of a finite confidence: 1 sample" in data["notes"]["calibration"]
    assert finite({"a": [float("inf"), 1.0, (float("nan"),)]}) == {"a": [None, 1.0, [None]]}


def test_a_run_of_bad_samples_only_has_no_figures_but_all_reasons(make_run: Make) -> None:
    run = make_run(n=0, shards=1, plan=[], flags=False, cost=False, pictures=0)
    table = table_of(Part("outcomes", CLEAN, {"id": ["dir/<b>broken</b>.png"], "error": ["empty file"]}))
    run.write_rows(table, "outcomes", "clean", 0)
    data = build(run).data
    jsonschema.validate(data, schema())
    assert (data["clean"], data["conditions"], data["calibration"]) == (None, [], None)
    assert data["bad_samples"][0]["reason"] == "empty file"


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_figures_do_not_depend_on_shards(make_run: Make, shards: int) -> None:
    one = build(make_run("one", shards=1, seed=3, pictures=0)).data
    many = build(make_run("many", shards=shards, seed=3, pictures=0)).data
    assert [c["accuracy"] for c in one["conditions"]] == [c["accuracy"] for c in many["conditions"]]
    assert one["aggregates"]["mean_error"] == many["aggregates"]["mean_error"]
    assert one["classes"] == many["classes"]


def test_errors_are_one_line_each(make_run: Make, tmp_path: object) -> None:
    with pytest.raises(RunError, match=r"no run\.json"):
        build(RunDir(f"{tmp_path}/none"))
    run = make_run("norows")
    for name in run.names("rows", "outcomes"):
        run.remove("rows", "outcomes", name)
    with pytest.raises(RunError, match="no outcomes of the unchanged images"):
        build(run)
    run = make_run("damaged")
    run.write(b"PAR1nonsense", "rows", "outcomes", "fog-3-00000.parquet")
    with pytest.raises(RunError, match=r"fog-3-00000\.parquet is damaged"):
        build(run)
    run = make_run("twice")
    run.write(run.read("rows", "outcomes", "fog-3-00000.parquet"), "rows", "outcomes", "fog-3-00002.parquet")
    with pytest.raises(RunError, match=r"it is a copy of rows/outcomes/fog-3-00000\.parquet"):
        build(run)
    with pytest.raises(ParameterError, match="no labels"):
        build(make_run("here", labelled=False), baseline=make_run("there", labelled=False))


def test_a_run_in_memory_is_read_as_one_on_disk(make_run: Make) -> None:
    local = make_run("disk")
    far = RunDir("memory://summary-test")
    for path in local.fs.find(local.root):
        far.write(local.fs.cat_file(path), *path.removeprefix(local.root + "/").split("/"))
    assert build(far).data == build(local).data


def test_mixed_labels_count_the_labelled_ones(make_run: Make) -> None:
    run = make_run(n=8, shards=1, bad=False, plan=[])
    part = torch.zeros(2, 1, 8, 8)
    from unshaken.core.outcomes import outcomes

    table = table_of(outcomes(CLEAN, Batch(part, None, ("x", "y")), torch.zeros(2, 5)))
    run.write_rows(table, "outcomes", "clean", 1)
    data = build(run).data
    assert data["clean"]["n"] == 8
    assert data["notes"]["labels"] == "2 of 10 samples have no label and are left out of accuracies"
