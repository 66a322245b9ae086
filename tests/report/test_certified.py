"""Certified shares by hand, and on the page."""

import pytest
import torch

import unshaken
from unshaken.certify.base import certificates
from unshaken.core.batch import Batch
from unshaken.report.certified import certified
from unshaken.run import Condition, RunDir
from unshaken.run.rows import table_of


def test_shares_at_each_radius_by_hand(tmp_path):
    batch = Batch(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 1, 0]), ("a", "b", "c", "d"))
    part = certificates(
        Condition("toy-1", "toy"),
        batch,
        radius=torch.tensor([0.5, 1.0, 1.0, 2.0]),
        norm="l2",
        prediction=torch.tensor([0, 1, 0, 0]),
        abstained=torch.tensor([False, False, False, True]),
        alpha=0.001,
    )
    run = RunDir(tmp_path / "run")
    run.write_rows(table_of(part), "certificates", "toy-1", 0)
    (one,) = certified(run)
    assert (one["condition"], one["norm"], one["alpha"], one["abstained"]["value"]) == ("toy-1", "l2", 0.001, 0.25)
    # d abstained; at 0.5 a, b and c hold, c with a wrong class; at 1.0 b and c.
    found = [(r["radius"], r["certified"]["value"], r["accuracy"]["value"]) for r in one["radii"]]
    assert found == [(0.5, 0.75, 0.5), (1.0, 0.5, 0.25)]


def test_a_run_without_certificates_has_none(tmp_path):
    assert certified(RunDir(tmp_path / "empty")) == []


@pytest.mark.slow
def test_a_certifier_in_a_plan_stands_on_the_page(tmp_path):
    plan = [{"method": "crop_selection", "severities": [1]}]
    result = unshaken.audit("demo:standard", "demo", plan, limit=40, out=tmp_path / "run")
    (one,) = result.summary["certified"]
    assert one["radii"][0]["certified"]["n"] == 40
    page = (tmp_path / "run" / "report.html").read_text()
    assert "What is guaranteed" in page
    assert one["condition"] in page
