"""The section on targeted attacks: shares and pairs from rows by hand, apart from robust accuracy."""

from __future__ import annotations

from collections import Counter

import jsonschema
import pytest

import unshaken
from unshaken.report import schema


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    out = tmp_path_factory.mktemp("targeted") / "run"
    plan = [
        {"method": "fgsm", "eps": [0.02]},
        {"method": "pgd", "params": {"steps": 5, "rel_stepsize": 0.3}, "eps": [0.05], "target": "Bag"},
        {"method": "deepfool", "norm": "l2", "target": "second"},
    ]
    return unshaken.audit("demo", "demo", plan=plan, limit=20, out=out, workers=1, save_examples=2)


def test_shares_are_those_of_the_rows(attacked):
    run, summary = attacked.run, attacked.summary
    jsonschema.Draft202012Validator(schema()).validate(summary)
    assert [one["condition"] for one in summary["targeted"]] == ["pgd-to-Bag-linf-0.05", "deepfool-to-second-l2"]
    for one in summary["targeted"]:
        rows = [r for r in run.rows("targets", condition=one["condition"]).to_pylist() if r["target"] is not None]
        clean = {r["id"]: r["prediction"] for r in run.rows("outcomes", condition="clean").to_pylist()}
        correct = {r["id"]: r["correct"] for r in run.rows("outcomes", condition=one["condition"]).to_pylist()}
        assert one["reached"]["value"] == sum(r["reached"] for r in rows) / len(rows)
        assert one["unchanged"]["value"] == sum(clean[r["id"]] == r["target"] for r in rows) / len(rows)
        assert one["left"]["value"] == sum(not correct[r["id"]] for r in rows) / len(rows)
        hits = Counter((r["label"], r["target"]) for r in rows if r["reached"])
        assert {(p["label"], p["target"]): round(p["reached"]["value"] * p["reached"]["n"]) for p in one["pairs"]} == {
            (r["label"], r["target"]): hits[r["label"], r["target"]] for r in rows
        }
    assert summary["targeted"][0]["reached"]["n"] == 18, "two of the twenty images are bags"
    assert summary["targeted"][1]["reached"]["value"] == 1, "the nearest example at any distance"


def test_targeted_attacks_count_in_no_robust_accuracy(attacked):
    summary = attacked.summary
    assert {row["condition"]: row["group"] for row in summary["conditions"]} == {
        "fgsm-linf-0.02": "attack", "pgd-to-Bag-linf-0.05": "targeted", "deepfool-to-second-l2": "targeted",
    }  # fmt: skip
    assert summary["worst_case"]["conditions"] == ["clean", "fgsm-linf-0.02"]
    assert [one["condition"] for one in summary["attacks"]] == ["fgsm-linf-0.02"]
    assert not summary["minimal_norms"]
    assert summary["headline"]["condition"] == "fgsm-linf-0.02"


def test_the_page_names_attack_and_target(attacked):
    page, text = attacked.run.read("report.html").decode(), attacked.run.read("report.md").decode()
    assert "PGD to Bag L∞, ε 0.05" in page
    assert "That is no robust accuracy" in text
    assert "A row is a true class, a column a target" in page
    assert "DeepFool to second L2, nearest examples" in text or "DeepFool to second L₂, nearest examples" in text
