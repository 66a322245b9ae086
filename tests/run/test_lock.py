"""One writer at a time; a lock whose owner is gone is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from unshaken.core.errors import RunError
from unshaken.run import RunDir
from unshaken.run.lock import NAME, STALE_SECONDS, locked


@pytest.fixture(params=["local", "memory"])
def run(request, tmp_path):
    return RunDir(tmp_path / "run") if request.param == "local" else RunDir(f"memory://lock-{tmp_path.name}/run")


def leave(run, **owner):
    run.write(json.dumps({"host": socket.gethostname(), "pid": 1, "time": time.time(), **owner}).encode(), NAME)


def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_is_held_and_given_back(run):
    with locked(run):
        assert json.loads(run.read(NAME))["pid"] == os.getpid()
    assert not run.exists(NAME)


def test_a_lock_is_given_back_after_an_error(run):
    with pytest.raises(ZeroDivisionError), locked(run):
        raise ZeroDivisionError
    assert not run.exists(NAME)


def test_a_second_writer_is_refused(run):
    with locked(run):
        with pytest.raises(RunError, match=f"process {os.getpid()} on .* is writing here; wait"), locked(run):
            pytest.fail("two writers")
        assert run.exists(NAME)


def test_another_live_process_is_respected(run):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        leave(run, pid=other.pid)
        with pytest.raises(RunError, match=f"process {other.pid} "), locked(run):
            pytest.fail("two writers")
        other.communicate(b"\n")
    with locked(run):  # it has ended
        assert json.loads(run.read(NAME))["pid"] == os.getpid()


def test_a_dead_owner_is_replaced(run):
    leave(run, pid=gone(), time=time.time())
    with locked(run):
        assert json.loads(run.read(NAME))["pid"] == os.getpid()


def test_a_lock_left_by_an_earlier_process_of_the_same_number_is_replaced(run):
    leave(run, pid=os.getpid())  # as in a container that is started again
    with locked(run):
        assert run.exists(NAME)


def test_another_machine_is_trusted_until_its_lock_is_old(run):
    leave(run, host="elsewhere", time=time.time() - STALE_SECONDS + 60)
    with pytest.raises(RunError, match="on elsewhere is writing here"), locked(run):
        pytest.fail("two writers")
    leave(run, host="elsewhere", time=time.time() - STALE_SECONDS - 60)
    with locked(run):
        assert json.loads(run.read(NAME))["host"] == socket.gethostname()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_lock_is_replaced(run, text):
    run.write(text, NAME)
    with locked(run):
        assert json.loads(run.read(NAME))["pid"] == os.getpid()


def test_renewing_moves_the_time_stamp_now_and_then(run, monkeypatch):
    with locked(run) as lock:
        now = time.time()
        for later, expected in ((100, 100), (110, 100), (125, 125)):
            monkeypatch.setattr(time, "time", lambda later=later: now + later)
            lock.renew()
            assert json.loads(run.read(NAME))["time"] == now + expected
