"""Runs in several processes have the rows of a run in one; a process that is killed is replaced."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial

import pytest
import torch

from tests.processes import SERVER
from tests.run.small_run import (
    lacking,
    made,
    made_to_die,
    made_to_end,
    needing,
    noting_its_device,
    telling_device,
    touching,
)
from tests.run.test_local import same
from unshaken.core.consent import call
from unshaken.core.errors import DataError, MissingExtra, ModelError, RunError, UnshakenError
from unshaken.run import execute, local, pool, process_pool
from unshaken.run import executor as executors
from unshaken.run.engine import Engine
from unshaken.run.process_pool import ProcessPool
from unshaken.store.run_dir import RunDir


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    """Processes from the tests' server, which has imported the package."""
    monkeypatch.setattr(pool, "ProcessPool", partial(ProcessPool, context=SERVER))


@pytest.fixture
def data(make):
    return make.data(40, bad=(20,), side=28)


def test_two_processes_give_the_rows_of_this_one_and_resume_its_run(make, data, rows_of, tmp_path):
    here, there = made(str(tmp_path / "here"), data), made(str(tmp_path / "there"), data, kind="processes")
    execute(here)
    execute(there)
    same(rows_of(here.run), rows_of(there.run), tolerance=1e-5)
    flags = [{(r["name"], r["detail"], r["id"]) for r in job.run.rows("flags").to_pylist()} for job in (here, there)]
    assert flags[0] == flags[1]
    here.run.remove("rows", "outcomes", "clean-00001.parquet")
    execute(made(str(tmp_path / "here"), data, kind="processes"), resume=True)
    same(rows_of(here.run), rows_of(there.run), tolerance=1e-5)


def test_what_a_process_raises_is_raised_here(data, tmp_path):
    with pytest.raises(DataError, match=r"sample s020: .*drop --on-error stop"):
        execute(made(str(tmp_path / "run"), data, kind="processes", stop=True))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exit", r"small_run\.py, line \d+, in made_to_end: SystemExit\(0\) would have ended this program"),
        ("os", r"3 processes ended over shard \d \(.* samples, .*\) \(the last with code 0\): code of .*os\._exit"),
    ],
)
def test_code_that_ends_its_process_ends_no_run_well(data, tmp_path, how, words):
    folder = str(tmp_path / "run")
    job = replace(made(folder, data, kind="processes"), remake=partial(made_to_end, folder, data, how))
    with pytest.raises(UnshakenError, match=words):
        execute(job)


@pytest.mark.parametrize(("times", "ends"), [(2, True), (6, False)])
def test_a_killed_process_is_replaced_a_few_times(data, rows_of, tmp_path, times, ends):
    folder, mark = str(tmp_path / "run"), str(tmp_path / "mark")
    job = replace(made(folder, data, kind="processes"), remake=partial(made_to_die, folder, data, mark, times))
    if ends:
        execute(job)
        assert len(rows_of(job.run)) == 3 * 39 + 1
    else:
        with pytest.raises(
            RunError,
            match=r"3 processes ended over shard \d \(\d+ samples, 's\d+' to 's\d+'\) \(the last with signal 9",
        ):
            execute(job)


def first_of(pool):
    """The units that are finished first."""
    while not (done := pool.wait()):
        pass
    return done


def test_a_process_that_ends_while_it_waits_is_replaced(tmp_path):
    with ProcessPool(str(tmp_path), touching, 1, SERVER) as pool:
        for name in ("first", "second"):
            unit = (str(tmp_path / name), name == "first")
            pool.begin(unit)
            assert first_of(pool) == [unit]
            time.sleep(0.3)  # the first has ended by now, or ends over the second unit
    assert {p.name for p in tmp_path.iterdir()} == {"first", "second"}


@pytest.mark.parametrize(
    ("count", "deadly", "devices"),
    [(3, False, ["cuda:0", "cuda:0", "cuda:1"]), (1, True, ["cuda:0"])],
    ids=["evenly", "one killed"],
)
def test_each_process_has_one_device(tmp_path, monkeypatch, count, deadly, devices):
    units = [(str(tmp_path / str(place)), deadly) for place in range(count)]
    monkeypatch.setattr(process_pool, "_work", noting_its_device)
    with ProcessPool(str(tmp_path), telling_device, count, SERVER, devices=["cuda:0", "cuda:1"]) as pool:
        for unit in units:
            pool.begin(unit)
        done = 0
        while done < count:
            done += len(pool.wait())
    assert sorted(p.read_text() for p in tmp_path.iterdir()) == devices


@pytest.mark.parametrize(("device", "devices"), [("cuda", ["cuda:0", "cuda:1"]), ("cuda:1", []), ("cpu", [])])
def test_processes_share_a_device_that_was_chosen(monkeypatch, tmp_path, device, devices):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pool.open_pool(Engine(processes=2), RunDir(str(tmp_path)), telling_device, device=device) as opened:
        assert opened._devices == devices


def test_a_package_that_a_process_lacks_is_named_here(tmp_path):
    with ProcessPool(str(tmp_path), lacking, 1, SERVER) as pool:
        pool.begin("anything")
        with pytest.raises(MissingExtra, match=r"lime needs the package 'skimage'.*unshaken\[explain\]"):
            first_of(pool)


def test_what_the_user_named_may_run_in_the_processes_too(tmp_path):
    with call("py:net.py:build"), ProcessPool(str(tmp_path), needing, 1, SERVER) as pool:
        pool.begin("py:net.py:build")
        assert first_of(pool) == ["py:net.py:build"]
        pool.begin("py:another.py:build")
        with pytest.raises(ModelError, match=r"py:another.py:build"):
            first_of(pool)


def test_memory_cannot_be_shared_with_processes(data, tmp_path):
    with pytest.raises(RunError, match="other processes cannot see this memory"):
        execute(made(f"memory://processes-{tmp_path.name}/run", data, kind="processes"))


def test_drivers_share_a_run_and_no_shard_is_done_twice(data, rows_of, tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)
    alone = made(str(tmp_path / "alone"), data)
    execute(alone)
    place, failures, done, compute = f"memory://shared-{tmp_path.name}/run", [], [], executors.run_shard

    def counted(job, shard, *more):
        done.append(shard)
        return compute(job, shard, *more)

    monkeypatch.setattr(executors, "run_shard", counted)

    def drive(job):
        try:
            execute(job)
        except BaseException as error:
            failures.append(error)

    drivers = [threading.Thread(target=drive, args=(made(place, data, kind="shared"),)) for _ in range(3)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(60)
    assert not failures
    run = RunDir(place)
    same(rows_of(alone.run), rows_of(run))
    assert sorted(done) == [0, 1, 2]
    assert run.names("leases") == []
