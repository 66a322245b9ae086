"""`unshaken labels compare`, from the rows of audits."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshaken.run import Condition, RunDir
from unshaken.run.rows import SCHEMAS


def write_run(folder, predictions, labels=(0, 0, 1, 1)):
    """The rows that an audit leaves, of samples s0, s1, ..."""
    columns = {"id": [f"s{i}" for i in range(len(labels))], "label": labels, "prediction": predictions}
    columns["condition"] = ["clean"] * len(labels)
    none = [None] * len(labels)
    arrays = {field.name: pa.array(columns.get(field.name, none), field.type) for field in SCHEMAS["outcomes"]}
    table = pa.table(arrays, schema=SCHEMAS["outcomes"])
    RunDir(folder).write_rows(table, "outcomes", Condition("clean", "clean").name, 0)
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
    assert json.loads((tmp_path / "out" / "label-versions.json").read_text()) == found
    assert "Whose order changes" in (tmp_path / "out" / "label-versions.html").read_text()


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
