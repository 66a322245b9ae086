"""The ways that the package takes on Windows, tried here."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from unshaken.core.errors import RunError
from unshaken.run.process_pool import _Process
from unshaken.serve.site import jobs
from unshaken.store.lock import locked
from unshaken.store.owner import is_running
from unshaken.store.run_dir import RunDir

PATH = Path(__file__).with_name("another_system.py")
SPEC = importlib.util.spec_from_file_location("another_system", PATH)
PLUGIN = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PLUGIN)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    PLUGIN.change(monkeypatch)


def test_a_file_is_written_where_no_folder_can_be_opened(tmp_path):
    run = RunDir(tmp_path)
    run.write_json({"a": 1}, "folder", "file.json")
    assert run.read_json("folder", "file.json") == {"schema": 1, "a": 1}
    assert os.listdir(tmp_path / "folder") == ["file.json"]


def test_two_writers_are_kept_apart_without_flock(tmp_path):
    run = RunDir(tmp_path)
    with locked(run), pytest.raises(RunError, match="is writing here"), locked(run):
        pass
    with locked(run):
        assert run.exists("run.lock")
    assert not run.exists("run.lock")


def test_a_process_is_not_ended_by_asking_for_it():
    other = {"pid": os.getpid() + 1, "time": time.time()}
    assert is_running(other)
    assert not is_running({**other, "time": time.time() - 3600})


@pytest.mark.parametrize(("code", "words"), [(-9, "memory ran out"), (0, "os._exit"), (1, "import the model")])
def test_the_end_of_a_worker_is_explained_without_sigkill(monkeypatch, code, words):
    monkeypatch.delattr("signal.SIGKILL")
    process = _Process.__new__(_Process)
    process._process = SimpleNamespace(exitcode=code)
    assert words in process.advice()


@pytest.mark.parametrize("kill", [False, True])
def test_a_job_is_ended_without_process_groups(monkeypatch, kill):
    monkeypatch.delattr("os.killpg")
    monkeypatch.delattr("signal.SIGKILL")
    monkeypatch.setattr(jobs, "sys", PLUGIN.Other(jobs.sys, platform="win32"))
    ended = []
    process = SimpleNamespace(poll=lambda: None, terminate=lambda: ended.append(True))
    jobs._interrupt(process, kill=kill)
    assert ended == [True]
