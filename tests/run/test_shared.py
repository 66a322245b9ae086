"""A run that is shared with other processes, and one that is not, in one directory at once."""

from __future__ import annotations

import pytest

from unshaken.core.errors import RunError
from unshaken.run import execute
from unshaken.run import executor as executors
from unshaken.store.journal import Journal
from unshaken.store.lease import take
from unshaken.store.lock import NAME, locked

PLAN = [{"method": "contrast", "severities": [5]}]


@pytest.fixture
def job(make):
    return make.job(make.folder / "run", make.data(20), plan=PLAN)


def test_a_shared_run_does_not_join_a_writer_that_shares_nothing(make, job):
    shared = make.job(job.run, job.config.data, plan=PLAN, shared=True)
    with locked(job.run), pytest.raises(RunError, match="is writing here without --share; wait for it"):
        execute(shared)
    execute(shared)


def test_a_writer_does_not_join_processes_that_share(make, job):
    execute(make.job(job.run, job.config.data, plan=PLAN, shared=True))
    lease = take(job.run, executors.LEASES, "shard-00001")
    job.run.write(b"half", "rows", f"x.unshaken-{'0' * 32}.tmp")  # as another is writing
    with pytest.raises(RunError, match="works here with --share; add --share"):
        execute(job, resume=True)
    assert job.run.exists("rows", f"x.unshaken-{'0' * 32}.tmp")
    assert not job.run.exists(NAME)
    lease.release()
    execute(job, resume=True)


def test_leases_of_processes_that_have_ended_do_not_matter(make, job):
    execute(make.job(job.run, job.config.data, plan=PLAN, shared=True))
    job.run.write(b'{"host": "elsewhere", "pid": 1, "time": 1}', executors.LEASES, "shard-00001")
    execute(job, resume=True)


@pytest.mark.parametrize("shared", [False, True])
def test_a_new_run_does_not_take_over_the_journal_of_another(make, job, shared):
    journal = Journal(job.run, "smoothing", 0)
    journal.keep("s001", {"radius": 9.0})
    journal.flush()
    job.run.write(b"mine", "journal", "notes", "day.json")
    execute(make.job(job.run, job.config.data, plan=PLAN, shared=shared))
    assert journal.found() == {}
    assert job.run.read("journal", "notes", "day.json") == b"mine"
