"""Every result says which version of the labels it used."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshaken import audit, harden, load_data
from unshaken.api.labels import find_labels
from unshaken.data.label_overlay import VERSION
from unshaken.detect.engine.fitting import fit


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A SPEC whose first label is corrected, in the version `second`."""
    path = tmp_path_factory.mktemp("labels") / "x.parquet"
    table = pa.table({"id": [load_data("demo").ids[0]], "label": [9]})
    pq.write_table(table.replace_schema_metadata({VERSION: b"second"}), path)
    return f"demo?labels={path}"


def test_an_audit_says_it(data, tmp_path):
    audit("demo", data, plan=[], limit=16, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["labels_version"] == "second"
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["provenance"]["labels_version"] == "second"
    assert "version second" in (tmp_path / "run" / "report.md").read_text()


def test_a_training_run_says_it(data, tmp_path):
    harden("small", data, out=tmp_path / "run", epochs=1, limit=48, check_images=16)
    assert json.loads((tmp_path / "run" / "harden.json").read_text())["labels_version"] == "second"
    assert "version second" in (tmp_path / "run" / "report.md").read_text()


def test_a_search_for_wrong_labels_says_it(data, tmp_path):
    p = np.full((1000, 10), 0.1)
    found = find_labels(data, pred_probs=p, review_size=0, out=tmp_path / "run")
    assert found.summary["settings"]["labels_version"] == "second"
    assert "version second" in (tmp_path / "run" / "report.md").read_text()


def test_fitted_detectors_say_it(data):
    assert fit("demo", data, ["msp"], limit=40).detector_set.about["labels_version"] == "second"


def test_without_a_correction_there_is_none(tmp_path):
    audit("demo", "demo", plan=[], limit=16, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["labels_version"] is None
    assert "version" not in (tmp_path / "run" / "report.md").read_text().lower()
