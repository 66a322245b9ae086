"""Maps made by two processes are those of one, and a run goes on with either."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

import unshaken
from tests.processes import SERVER
from unshaken.api.explain import name_maps
from unshaken.run import pool
from unshaken.run.process_pool import ProcessPool

pytestmark = pytest.mark.long

ROWS = ("attributions", "map_metrics")


def rows(run):
    """The rows without what they cost in seconds."""
    found = {}
    for table in ROWS:
        for row in run.rows(table).to_pylist():
            row.pop("seconds", None)
            found[table, row["condition"], row["id"], row.get("metric")] = row
    return found


def same(one, other):
    assert one.keys() == other.keys()
    for key, row in one.items():
        for name, value in row.items():
            if isinstance(value, float):
                assert other[key][name] == pytest.approx(value, rel=1e-4, abs=1e-6), (key, name)
            else:
                assert other[key][name] == value, (key, name)


def test_two_processes_make_the_maps_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "ProcessPool", partial(ProcessPool, context=SERVER))
    explain = partial(unshaken.explain, "demo", "demo", ["gradcam", "gradient"], metrics="deletion:steps=4", limit=70)
    here, there = explain(out=tmp_path / "here"), explain(out=tmp_path / "there", engine="local:2")
    same(rows(here.run), rows(there.run))
    for name in ("gradcam", "gradient"):
        assert here.summary.found[name].forwards == there.summary.found[name].forwards
    here.run.remove("rows", "attributions", "gradcam-00001.parquet")
    record = here.run.read_json("explain.json")
    here.run.write_json({**record, "finished": False}, "explain.json")
    again = explain(out=tmp_path / "here", engine="local:2", resume=True)
    same(rows(again.run), rows(there.run))


def test_a_unit_that_ends_its_processes_is_named_with_its_samples():
    data = SimpleNamespace(ids=[f"s{i:03}" for i in range(200)])
    work = SimpleNamespace(subject=SimpleNamespace(indices=range(10, 110)), inputs=SimpleNamespace(dataset=data))
    assert name_maps(work, ("gradcam", 1)) == "the maps of gradcam, shard 1 (36 samples, 's074' to 's109')"
