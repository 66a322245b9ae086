import pytest

from unshaken.core.errors import RunError
from unshaken.store.journal import Journal
from unshaken.store.run_dir import RunDir


def test_what_is_kept_is_found_by_the_next_process(tmp_path):
    run = RunDir(tmp_path)
    first = Journal(run, "smoothing-0.25", 3, every=0)
    first.keep("a", {"counts": [1, 2]})
    first.keep("b", {"counts": [3, 0]})
    assert Journal(run, "smoothing-0.25", 3).found() == {"a": {"counts": [1, 2]}, "b": {"counts": [3, 0]}}
    assert Journal(run, "smoothing-0.25", 4).found() == {}
    assert Journal(run, "smoothing-0.5", 3).found() == {}


def test_writes_wait_for_their_time_and_renew_the_lock(tmp_path):
    run, renewed = RunDir(tmp_path), []
    journal = Journal(run, "x", 0, alive=lambda: renewed.append(1), every=1000)
    journal.keep("a", {})
    assert Journal(run, "x", 0).found() == {}
    journal.flush()
    assert Journal(run, "x", 0).found() == {"a": {}}
    assert renewed == [1]


def test_it_is_gone_when_the_rows_are_written(tmp_path):
    run = RunDir(tmp_path)
    journal = Journal(run, "x", 0, every=0)
    journal.keep("a", {})
    journal.clear()
    assert Journal(run, "x", 0).found() == {}
    assert run.names("journal", "x-00000") == []


def test_a_damaged_file_is_named(tmp_path):
    run = RunDir(tmp_path)
    run.write(b"{", "journal", "x-00000", "1.json")
    with pytest.raises(RunError, match=r"journal/x-00000/1\.json is damaged"):
        Journal(run, "x", 0).found()
