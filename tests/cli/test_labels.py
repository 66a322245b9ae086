"""`unshaken labels train` and `labels compare`; `find`, `review` and others are tested with their rooms."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshaken import audit
from unshaken.core.registry import list_methods
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import schema_of

FEW = ["--epochs", "1", "--batch-size", "32", "--limit", "100", "--set", "check_images=16", "-q"]
NOISY = ["--data", "demo?noise=symmetric:0.2"]


def recipes(run):
    return json.loads((run / "harden.json").read_text())["recipes"]


def test_elr_unless_another_recipe_is_asked_for(unshaken, tmp_path):
    runs = [tmp_path / name for name in ("usual", "named", "harden")]
    assert unshaken("labels", "train", *NOISY, "--model", "small", *FEW, "--out", str(runs[0])).code == 0
    two = ["--method", "co-teaching:noise_rate=0.2", "--method", "crop-flip"]
    assert unshaken("labels", "train", *NOISY, *two, "--model", "small", *FEW, "--out", str(runs[1])).code == 0
    assert [recipes(run) for run in runs[:2]] == [["elr"], ["co-teaching:noise_rate=0.2", "crop-flip"]]
    same = ["harden", *NOISY, "--method", "elr", "--model", "small", *FEW, "--out", str(runs[2])]
    assert unshaken(*same).code == 0
    assert len({(run / "model.safetensors").read_bytes() for run in (runs[0], runs[2])}) == 1


def test_its_help_lists_the_recipes_for_noisy_labels(unshaken):
    text = " ".join(unshaken("labels train --help").out.replace("│", " ").split())
    ours = [m.name for m in list_methods("harden") if m.tags.get("group") == "noisy-labels"]
    assert len(ours) > 6
    assert ", ".join(sorted(ours)) in text


def test_a_missing_rate_is_one_line(unshaken):
    result = unshaken("labels", "train", *NOISY, "--method", "co-teaching", *FEW)
    assert (result.code, result.err) == (2, "unshaken: co-teaching: parameter 'noise_rate' is missing\n")


def write_run(folder, predictions, labels=(0, 0, 1, 1)):
    """The rows that an audit leaves, of samples s0, s1, ..."""
    columns = {"id": [f"s{i}" for i in range(len(labels))], "label": labels, "prediction": predictions}
    columns["condition"] = ["clean"] * len(labels)
    none = [None] * len(labels)
    arrays = {field.name: pa.array(columns.get(field.name, none), field.type) for field in schema_of("outcomes")}
    table = pa.table(arrays, schema=schema_of("outcomes"))
    RunDir(folder).write_rows(table, "outcomes", "clean", 0)
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    return [write_run(tmp_path / "a", [0, 0, 1, 1]), write_run(tmp_path / "b", [0, 1, 1, 0])]


def overlay(path, **columns):
    pq.write_table(pa.table({"id": ["s1", "s3"], "label": [1, 0], "given": [0, 1], **columns}), path)
    return str(path)


def test_ranking_before_and_after(unshaken, runs, tmp_path):
    labels = overlay(tmp_path / "x.parquet")
    done = unshaken("labels", "compare", labels, *runs, "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert {name: (m["before"]["value"], m["after"]["value"]) for name, m in found["models"].items()} == {
        "b": (0.5, 1.0),
        "a": (1.0, 0.5),
    }
    assert found["swaps"][0]["models"] == ["a", "b"]
    shown = unshaken("labels", "compare", labels, *runs, "--out", str(tmp_path / "out"))
    assert "2 of 4 labels changed" in shown.out
    kept = json.loads((tmp_path / "out" / "label-versions.json").read_text())
    assert kept == {**found, "pictures": "the data of the labels is not known: give an audit or the review"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Whose order changes" in page
    assert "Pictures are missing: the data of the labels is not known" in page
    rows = RunDir(tmp_path / "out").rows("label_changes").to_pylist()
    assert [(r["id"], r["before"], r["after"], r["right_before"], r["right_after"]) for r in rows] == [
        ("s1", 0, 1, 1, 1),
        ("s3", 1, 0, 1, 1),
    ]
    (tmp_path / "out" / "report.html").unlink()
    assert unshaken("report", str(tmp_path / "out")).code == 0
    assert (tmp_path / "out" / "report.html").read_text() == page


def test_labels_are_compared_without_a_model(unshaken, tmp_path):
    labels = overlay(tmp_path / "x.parquet")
    found = json.loads(unshaken("labels", "compare", labels, "--json").out)
    assert (found["samples"], found["changed"], found["models"], found["moves"]) == (2, 2, {}, [[0, 1, 1], [1, 0, 1]])
    pq.write_table(pq.read_table(labels).drop_columns("given"), labels)
    done = unshaken("labels", "compare", labels)
    assert (done.code, "give audits of the data, too" in done.err) == (2, True)


def test_audits_of_retrained_networks_come_in_pairs(unshaken, runs, tmp_path):
    done = unshaken("labels", "compare", overlay(tmp_path / "x.parquet"), *runs, "--before", runs[0])
    assert (done.code, "1 --before and 0 --after: give audits in pairs" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"id": ["x", "y"]}, "none of its 2 samples is in the runs"),
        ({"given": [2, 1]}, "sample 's1' had the label 2 before, and 0 in the runs"),
        ({"label": ["a", "b"]}, "labels are of type string; give label numbers"),
    ],
)
def test_labels_of_other_data_are_told(unshaken, runs, tmp_path, columns, why):
    done = unshaken("labels", "compare", overlay(tmp_path / "x.parquet", **columns), *runs)
    assert (done.code, why in done.err) == (2, True)


def test_runs_of_other_data_are_told(unshaken, runs, tmp_path):
    labels = overlay(tmp_path / "x.parquet")
    other = write_run(tmp_path / "c", [0, 0, 1, 1], np.array([0, 0, 1, 0]))
    assert "compare runs of the same data" in unshaken("labels", "compare", labels, runs[0], other).err
    assert "run 'unshaken audit' there first" in unshaken("labels", "compare", labels, str(tmp_path / "no")).err


def test_the_gain_of_retraining_is_paired(unshaken, runs, tmp_path):
    first, second = (str(tmp_path / name) for name in ("first", "second"))
    for model, place in (("robust", first), ("standard", second)):
        audit(f"demo:{model}", "demo", plan=[], limit=40, out=place)
    right = [sum(RunDir(place).rows("outcomes", ["correct"])["correct"].to_pylist()) for place in (first, second)]
    pairs = ["--before", first, "--after", second, "--before", second, "--after", first]
    found = json.loads(unshaken("labels", "compare", overlay(tmp_path / "x.parquet"), *runs, *pairs, "--json").out)
    gains = [one["difference"]["value"] for one in found["retrained"]["pairs"]]
    assert gains == pytest.approx([(right[1] - right[0]) / 40, (right[0] - right[1]) / 40])
    assert right[0] != right[1]
    assert found["retrained"]["mean"]["value"] == pytest.approx(0)
