"""A run on two Ray workers has the rows of a run in one process, and raises what its workers raise."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace

import pytest

from tests.run import small_run
from tests.run.small_run import made
from unshaken.api.options import check_options
from unshaken.core.errors import DataError, MissingExtra, RunError
from unshaken.run import execute, ray_pool
from unshaken.run.executor import shards_of
from unshaken.run.process_pool import Worker
from unshaken.run.ray_pool import RayPool
from unshaken.store.run_dir import RunDir


@pytest.fixture(scope="module")
def ray():
    """Two workers, whatever the machine has."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.cloudpickle.register_pickle_by_value(small_run)  # the workers cannot import this file
    yield ray
    ray.shutdown()


def times_of(run: RunDir) -> dict[str, float]:
    """When each file of outcomes was written."""
    return {k: v["mtime"] for k, v in run.fs.find(run.at("rows", "outcomes"), detail=True).items()}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # ray's own
def test_two_workers_give_the_rows_of_this_process(ray, make, rows_of, tmp_path):
    data = make.data(60, bad=(20,), side=28)
    here, there = (made(str(tmp_path / e), data, kind=e) for e in ("local", "ray"))
    execute(here)
    execute(there)
    want, got = rows_of(here.run), rows_of(there.run)
    assert want.keys() == got.keys()
    exact = ("prediction", "correct", "label", "forwards", "backwards", "error", "survives_8bit")
    for key, row in want.items():
        assert [got[key][k] for k in exact] == [row[k] for k in exact], key
        for name in ("loss", "confidence", "distance", "logits"):
            if row[name] is None:
                assert got[key][name] is None
            else:
                assert got[key][name] == pytest.approx(row[name], rel=1e-4, abs=1e-6), (key, name)
    flags = [{(r["name"], r["detail"], r["id"]) for r in job.run.rows("flags").to_pylist()} for job in (here, there)]
    assert flags[0] == flags[1]

    # On resuming one worker computes the one shard that is absent, and what it raises is raised here.
    there.run.remove("rows", "outcomes", "clean-00001.parquet")
    before = times_of(there.run)
    with pytest.raises(DataError, match=r"sample s020: .*drop --on-error stop"):
        execute(made(str(tmp_path / "ray"), data, kind="ray", stop=True), resume=True)
    assert times_of(there.run) == before


def test_a_worker_refuses_to_compute_with_other_settings(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = make.data(20, side=28)
    job = made(str(tmp_path / "run"), data)
    worker = Worker(partial(shards_of, partial(made, str(tmp_path / "run"), data, 8), job.config), str(tmp_path), [])
    with pytest.raises(RunError, match="shard_size: 16 there, 8 now"):
        worker.run((0, frozenset()))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"--engine ray needs the package 'ray'.*unshaken\[ray\]"):
        check_options(engine="ray")


def test_a_cluster_that_does_not_start_is_one_line(monkeypatch):
    ended = []

    def fail(**_):
        raise Exception("The current node timed out\nduring startup.")

    fake = SimpleNamespace(is_initialized=lambda: False, init=fail, shutdown=lambda: ended.append(True))
    monkeypatch.setattr(ray_pool, "load_ray", lambda: fake)
    words = r"^runs/mine: Ray could not be started \(The current node timed out during startup\.\); .*--resume$"
    with pytest.raises(RunError, match=words), RayPool("runs/mine", lambda: None):
        pass
    assert ended == [True]
