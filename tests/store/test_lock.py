"""One writer at a time; a lock whose owner is gone is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes import SERVER, process
from tests.run.writer import write_when_told
from unshaken.core.errors import RunError
from unshaken.store.lock import NAME, locked
from unshaken.store.owner import STALE_SECONDS
from unshaken.store.run_dir import RunDir


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


@pytest.fixture(scope="module")
def writers():
    """Two processes that take a lock when they are told the place and the moment, by their pipes."""
    with ExitStack() as stack:
        pipes = []
        for _ in range(2):
            here, there = SERVER.Pipe()
            stack.enter_context(process(write_when_told, there))
            assert here.recv() == "ready"
            pipes.append(here)
        yield pipes


@pytest.mark.parametrize("left", ["nothing", "stale", "empty"])
def test_of_two_processes_that_start_at_once_one_gets_in(left, writers, tmp_path):
    stamp = {"stale": json.dumps({"host": socket.gethostname(), "pid": gone(), "time": 1.0}), "empty": ""}
    for trial in range(40):
        place = tmp_path / f"{left}-{trial}"
        place.mkdir()
        if left in stamp:
            (place / NAME).write_text(stamp[left])
        for writer in writers:
            writer.send((str(place), time.time() + 0.005))
        answers = [writer.recv() for writer in writers]
        assert {a[0] for a in answers} <= {"in", "out"}, answers
        inside = [(a[1], a[2]) for a in answers if a[0] == "in"]
        assert inside
        assert len(inside) == 1 or max(began for began, _ in inside) >= min(ended for _, ended in inside), "both"
        assert all(a[1] is True for a in answers if a[0] == "out")
        assert not (place / NAME).exists()


def test_a_number_taken_by_another_process_does_not_hold_a_lock_that_the_system_has_released(tmp_path):
    run = RunDir(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        leave(run, pid=other.pid, token="of a writer that was killed")
        with locked(run):
            assert json.loads(run.read(NAME))["pid"] == os.getpid()
        other.communicate(b"\n")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell")
def test_a_number_that_another_process_has_taken_holds_no_lock(run):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        leave(run, pid=other.pid, started=1)  # of an earlier process of this number
        with locked(run):
            assert json.loads(run.read(NAME))["started"]
        leave(run, pid=other.pid, started=int(Path(f"/proc/{other.pid}/stat").read_text().split()[21]))
        with pytest.raises(RunError, match=f"process {other.pid} "), locked(run):
            pytest.fail("two writers")
        other.communicate(b"\n")
