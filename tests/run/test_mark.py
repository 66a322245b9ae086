"""Rows of another run, copies of rows, and rows that are gone, are told."""

from __future__ import annotations

import re
import shutil

import pyarrow as pa
import pytest
import torch

from unshaken.core import Classifier
from unshaken.core.errors import RunError
from unshaken.report.summary import build
from unshaken.run.local import execute
from unshaken.run.plan import load_plan
from unshaken.run.record import record_steps
from unshaken.store.mark import marked, wrong_mark
from unshaken.store.run_dir import RunDir

FEW = [{"method": "gaussian_noise", "severities": [1, 3]}, {"method": "contrast", "severities": [5]}]
OUTCOMES = "rows/outcomes"


@pytest.fixture
def job(make):
    data = make.data(20)
    return lambda name, **options: make.job(
        make.folder / name, data, plan=FEW, steps=record_steps(load_plan(FEW)), **options
    )


def other_net(tiny):
    """The same form, other weights."""
    net = Classifier(type(tiny.net)(), name="tiny").eval()
    with torch.no_grad():
        net.net.head.weight.mul_(-1)
    return net


def test_a_mark_says_run_and_place():
    schema = marked(pa.table({"x": [1]}), "a" * 32, "outcomes/clean-00000.parquet").schema
    assert wrong_mark(schema, "a" * 32, "outcomes/clean-00000.parquet") is None
    assert wrong_mark(schema, "", "outcomes/clean-00000.parquet") is None
    assert "of another run" in wrong_mark(schema, "b" * 32, "outcomes/clean-00000.parquet")
    assert "is a copy of rows/outcomes/clean-00000.parquet" in wrong_mark(schema, "", "outcomes/clean-00001.parquet")
    assert wrong_mark(pa.schema([]), "b" * 32, "outcomes/clean-00000.parquet") is None  # of an earlier version


def test_rows_of_another_model_with_the_same_ids_are_refused(job, make, tiny):
    """Rows put into the directory of a run of another model are neither resumed nor reported."""
    execute(job("one"))
    execute(job("two", model=other_net(tiny)))
    file = make.folder / "two" / OUTCOMES / "gaussian_noise-1-00000.parquet"
    shutil.copy(make.folder / "one" / OUTCOMES / file.name, file)
    with pytest.raises(RunError, match=r"gaussian_noise-1-00000\.parquet is damaged \(its rows are of another run"):
        execute(job("two", model=other_net(tiny)), resume=True)
    with pytest.raises(RunError, match="its rows are of another run"):
        build(RunDir(make.folder / "two"))


def test_a_whole_folder_of_rows_of_another_model_is_refused(job, make, tiny):
    execute(job("one"))
    execute(job("two", model=other_net(tiny)))
    shutil.rmtree(make.folder / "two" / "rows")
    shutil.copytree(make.folder / "one" / "rows", make.folder / "two" / "rows")
    with pytest.raises(RunError, match="its rows are of another run"):
        execute(job("two", model=other_net(tiny)), resume=True)


@pytest.mark.parametrize("table", ["outcomes", "cost"])
def test_a_shard_that_stands_twice_is_refused(table, job, make):
    execute(job("run"))
    folder = make.folder / "run" / "rows" / table
    file = sorted(folder.iterdir())[0]
    shutil.copy(file, folder / f"{file.name.rpartition('-')[0]}-00009.parquet")
    with pytest.raises(RunError, match=re.escape(f"is a copy of rows/{table}/{file.name}")):
        execute(job("run"), resume=True)
    with pytest.raises(RunError, match=re.escape(f"is a copy of rows/{table}/{file.name}")):
        build(RunDir(make.folder / "run"))


def test_a_condition_whose_rows_are_gone_is_missed_and_made_again(job, make):
    execute(job("run"))
    whole = build(RunDir(make.folder / "run")).data
    assert whole["complete"]
    for shard in (0, 1):
        (make.folder / "run" / OUTCOMES / f"gaussian_noise-3-{shard:05d}.parquet").unlink()
    found = build(RunDir(make.folder / "run")).data
    assert not found["complete"]
    assert found["notes"]["gaussian_noise-3"] == "no row yet: finish the run with --resume"
    execute(job("run"), resume=True)
    again = build(RunDir(make.folder / "run")).data
    assert again["complete"]
    assert [c["accuracy"] for c in again["conditions"]] == [c["accuracy"] for c in whole["conditions"]]
