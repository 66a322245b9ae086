"""Runs on an object store: written whole, resumed, locked by a lease, and shared by drivers."""

from __future__ import annotations

import threading

import fsspec
import pytest

from tests.run.test_local import same
from unshaken.core.errors import RunError
from unshaken.run import execute, local
from unshaken.run import executor as executors
from unshaken.store.lock import NAME, locked
from unshaken.store.run_dir import RunDir


@pytest.fixture(scope="module")
def server():
    """A server that speaks S3, on a port of its own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """The address of a bucket."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server}",
    }.items():
        monkeypatch.setenv(name, value)
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.mkdir("runs")
    yield "s3://runs"
    fs.rm("runs", recursive=True)
    type(fs).clear_instance_cache()


def test_a_file_is_created_once(bucket):
    run = RunDir(f"{bucket}/one")
    assert run.create(b"first", "a", "file")
    assert not run.create(b"second", "a", "file")
    assert run.read("a", "file") == b"first"


def test_one_writer_at_a_time(bucket):
    run = RunDir(f"{bucket}/locked")
    with locked(run):
        with pytest.raises(RunError, match="is writing here"), locked(RunDir(f"{bucket}/locked")):
            pytest.fail("two writers")
        assert run.exists(NAME)
    assert not run.exists(NAME)


def test_files_of_other_machines_are_seen(bucket):
    here, there = RunDir(f"{bucket}/one"), RunDir(f"{bucket}/one")
    there.fs = fsspec.filesystem("s3", skip_instance_cache=True)  # as in another process
    there.write(b"", "rows", "cost", "clean-00000.parquet")
    assert here.names("rows", "cost") == ["clean-00000.parquet"]
    there.write(b"", "rows", "cost", "clean-00001.parquet")
    assert here.has_rows("cost", "clean", 1)
    assert here.names("rows", "cost") == ["clean-00000.parquet", "clean-00001.parquet"]
    there.write(b"", "rows", "turns", "fog-1-00000.parquet")
    there.remove("rows", "cost", "clean-00000.parquet")
    assert not here.has_rows("cost", "clean", 0)
    assert here.names("rows") == ["cost", "turns"]


def test_two_drivers_share_a_run_that_was_begun_and_interrupted(bucket, make, rows_of, monkeypatch):
    monkeypatch.setattr(executors, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)
    spec = make.data(40, bad=(3,))
    alone = make.job(make.folder / "alone", spec)
    execute(alone)

    place, compute = f"{bucket}/shared", executors.run_shard

    def interrupted(job, shard, *more):
        if shard == 1:
            raise KeyboardInterrupt
        return compute(job, shard, *more)

    with monkeypatch.context() as patched:
        patched.setattr(executors, "run_shard", interrupted)
        with pytest.raises(local.Interrupted, match="run the same command with --resume"):
            execute(make.job(RunDir(place), spec))
    assert RunDir(place).names("rows", "cost") != []
    done, failures = [], []

    def counted(job, shard, *more):
        done.append(shard)
        return compute(job, shard, *more)

    monkeypatch.setattr(executors, "run_shard", counted)

    def drive(job):
        try:
            execute(job)
        except BaseException as error:
            failures.append(error)

    drivers = [threading.Thread(target=drive, args=(make.job(RunDir(place), spec, shared=True),)) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(120)
    assert failures == []
    assert sorted(done) == [1, 2]
    run = RunDir(place)
    same(rows_of(alone.run), rows_of(run))
    assert run.names("leases") == []
