"""A process that takes a run's lock at a moment it is told: what two of them do at once is tested in `test_lock`."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection

from unshaken.core.errors import RunError
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir


def write_when_told(pipe: Connection) -> None:
    """For each (path, moment) received, take the lock then and send what came of it."""
    pipe.send("ready")
    while True:
        path, start = pipe.recv()
        run = RunDir(path)
        while time.time() < start:
            pass
        try:
            with locked(run):
                began = time.time()
                time.sleep(0.01)
                ended = time.time()
            pipe.send(("in", began, ended))
        except RunError as error:
            pipe.send(("out", "is writing here" in str(error)))
        except BaseException as error:
            pipe.send(("failed", repr(error)))
