"""A run on two Ray workers has the rows of a run in one process, and raises what its workers raise."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from tests.run import small_run
from tests.run.ray_stand_in import OutOfMemoryError, RayError, RayStandIn, drained
from tests.run.small_run import made, made_to_die
from unshaken.api.options import check_options
from unshaken.core.errors import DataError, MissingExtra, RunError, RunWarning
from unshaken.run import execute, ray_pool
from unshaken.run.engine import RAY, read_engine
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


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # ray's own
@pytest.mark.parametrize(("times", "ends"), [(1, True), (3, False)])
def test_a_killed_worker_is_replaced_and_a_shard_that_ends_three_is_named(ray, make, rows_of, tmp_path, times, ends):
    folder, data = str(tmp_path / "run"), make.data(16, side=28)
    job = replace(made(folder, data), engine=RAY, remake=partial(made_to_die, folder, data, str(tmp_path / "m"), times))
    shard = r"shard 0 \(16 samples, 's000' to 's015'\)"
    again = pytest.warns(RunWarning, match=rf"killed, .*; {shard} is computed again; its last lines: .*memory is short")
    if ends:
        with again:
            execute(job)
        assert len(rows_of(job.run)) == 3 * 16
    else:
        with again, pytest.raises(RunError, match=rf"3 workers ended over {shard}, .* memory is short; .*--resume"):
            execute(job)
    assert len(job.run.names("logs")) == times


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


@pytest.mark.parametrize(
    ("variables", "advice"),
    [
        ({}, "what is finished"),
        ({"RAY_ADDRESS": "head:1", "RAY_AUTH_MODE": "token"}, "what is finished"),
        ({"RAY_ADDRESS": "head:1"}, "if the cluster at RAY_ADDRESS='head:1' asks for a token, set RAY_AUTH_MODE=token"),
    ],
)
def test_a_cluster_that_does_not_start_is_one_line(monkeypatch, tmp_path, variables, advice):
    ended = []
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def fail(**_):
        raise Exception("The current node timed out\nduring startup.")

    fake = SimpleNamespace(is_initialized=lambda: False, init=fail, shutdown=lambda: ended.append(True))
    monkeypatch.setattr(ray_pool, "load_ray", lambda: fake)
    words = rf"mine: Ray could not be started \(The current node timed out during startup\.\); {advice}.*--resume$"
    with pytest.raises(RunError, match=words), RayPool(RunDir(tmp_path / "mine"), lambda: None):
        pass
    assert ended == [True]


@pytest.fixture
def pool_on(monkeypatch, tmp_path):
    """Open a pool on a stand-in for Ray."""

    @contextmanager
    def opened(ray, **given):
        monkeypatch.setattr(ray_pool, "load_ray", lambda: ray)
        monkeypatch.setattr(ray_pool, "SECONDS", 0.0)  # nodes are counted each time
        with RayPool(RunDir(tmp_path / "run"), None, name_unit="shard {}".format, **given) as pool:
            yield pool
        assert all(actor.killed for actor in ray.actors)

    return opened


UNITS = list(range(12))


def test_nodes_that_join_get_work_and_no_unit_is_lost_with_a_node(pool_on):
    done_on = []

    def work(node, unit):
        if unit == 3:
            ray.cpus["second"] = 2  # joins
        if unit == 7:
            del ray.cpus["first"]  # leaves, with what it was doing
        done_on.append((node, unit))

    ray = RayStandIn(work, first=2)
    with pool_on(ray) as pool, pytest.warns(RunWarning, match=r"lost with its node; shard \d+ is computed again"):
        assert sorted(drained(pool, UNITS)) == UNITS
    assert {node for node, _ in done_on} == {"first", "second"}


def test_one_unit_more_than_there_is_room_for_waits_and_goes_to_the_first_worker_that_is_free(pool_on):
    """A cluster that grows on demand sees a worker that waits; the unit does not wait for that worker."""
    ray, pending = RayStandIn(lambda node, unit: None, only=2), []
    with pool_on(ray) as pool:
        seen = lambda: pending.append(sum(actor.node is None for actor in ray.actors))  # noqa: E731
        assert sorted(drained(pool, UNITS, seen)) == UNITS
        assert pool.free() == 3
    assert len(ray.actors) == 3
    assert pending[-1] == 1


def test_a_unit_that_ends_its_workers_ends_the_run_with_its_name_and_their_last_lines(pool_on, tmp_path):
    def work(node, unit):
        if unit == 5:
            raise RayError("Worker exit type: SYSTEM_ERROR")

    ray = RayStandIn(work, only=1)
    ray.log = b":job_id:01\n:actor_name:RayWorker\nloading\nSegmentation fault in conv\n"
    words = (
        r"3 workers ended over shard 5, the last \(on host-only, process \d+\) killed, .*; its last lines: loading \| "
        r"Segmentation fault in conv; .*--resume$"
    )
    again = pytest.warns(RunWarning, match="shard 5 is computed again; its last lines: loading")
    with again as warned, pool_on(ray) as pool, pytest.raises(RunError, match=words):
        drained(pool, UNITS)
    assert len(warned) == 2
    logs = sorted((tmp_path / "run" / "logs").iterdir())
    assert len(logs) == 3
    assert {log.read_bytes() for log in logs} == {b"loading\nSegmentation fault in conv\n"}


def test_ends_of_workers_whose_nodes_have_left_are_not_the_units_fault(pool_on):
    ends = []

    def work(node, unit):
        if unit == 5 and len(ends) < 5:
            ends.append(node)
            del ray.cpus[node]
            ray.cpus[f"n{len(ends)}"] = 1

    ray = RayStandIn(work, n0=1)
    with pool_on(ray) as pool, pytest.warns(RunWarning, match="lost with its node"):
        assert sorted(drained(pool, UNITS)) == UNITS
    assert ends == [f"n{number}" for number in range(5)]


def test_memory_that_ran_out_is_said(pool_on):
    def work(node, unit):
        raise OutOfMemoryError("Task was killed due to the node running low on memory.")

    words = r"ended, for its node ran out of memory; if memory runs out, .* as in --engine ray:cpus=2"
    again, ray = pytest.warns(RunWarning, match="ran out of memory"), RayStandIn(work, only=1)
    with again, pool_on(ray) as pool, pytest.raises(RunError, match=words):
        drained(pool, UNITS)


def test_workers_that_do_not_start_end_the_run(pool_on, monkeypatch):
    ray = RayStandIn(lambda node, unit: None, only=1)
    monkeypatch.setattr(ray, "get", lambda future: (_ for _ in ()).throw(RayError("No module named 'unshaken'")))
    with pool_on(ray) as pool, pytest.raises(RunError, match=r"3 Ray workers in turn did not start .*No module named"):
        drained(pool, UNITS)


@pytest.mark.parametrize(
    ("engine", "gpu", "cpus", "gpus"),
    [("ray", False, 1, 0), ("ray", True, 1, 1), ("ray:cpus=2,gpus=0.5", True, 2, 0.5), ("ray:gpus=0", True, 1, 0)],
)
def test_a_worker_takes_what_the_engine_says(pool_on, engine, gpu, cpus, gpus):
    ray = RayStandIn(lambda node, unit: None, one=3, two=2)
    monkeyed = {"CPU": 5, "GPU": 1}
    ray.nodes = lambda: [{"NodeID": "one", "Alive": True, "Resources": monkeyed}]
    with pool_on(ray, engine=read_engine(engine), gpu=gpu) as pool:
        room = min(5 // cpus, 1 / gpus if gpus else 99)
        assert pool.free() == room + 1
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (cpus, gpus)


def test_a_cluster_without_room_is_said_once_and_waited_for(pool_on):
    ray, done = RayStandIn(lambda node, unit: None, small=1), []
    with pool_on(ray, engine=read_engine("ray:cpus=4")) as pool:
        with pytest.warns(RunWarning, match=r"no node .* takes CPU 4 \(nodes have: CPU 1\); waiting"):
            assert pool.free() == 1
        pool.begin(0)
        assert pool.wait() == []
        assert pool.free() == 0
        ray.cpus["large"] = 4
        while not done:
            done = pool.wait()
    assert done == [0]
