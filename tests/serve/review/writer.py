"""A process whose children record verdicts until it kills them; forked from one that is warm, each starts at once."""

from __future__ import annotations

import os
import random
import signal
import time
from multiprocessing.connection import Connection

from unshaken.labels.review.verdict import Verdict
from unshaken.serve.review.store import ReviewStore

MARK = 8
"""Bytes by which a child says that a verdict is recorded."""


def kill_writers(pipe: Connection, address: str, kills: int, items: int) -> None:
    """Start and kill writers; each begins with the first verdict that none before it has acknowledged.

    Args:
        pipe: gets the number of acknowledged verdicts at the end.
        address: of the store; its review `warm` is written to at the beginning.
        kills: how many.
        items: of the review.
    """
    draw, sent, store = random.Random(0), 0, ReviewStore.open(address)
    store.record("warm", 1, "ann", Verdict(kind="confirm"), token="1")
    store.close()  # its compiled statements stay, no connection does
    for _ in range(kills):
        here, there = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(here)
            _record(there, store, sent, items)
        os.close(there)
        if os.read(here, MARK) != sent.to_bytes(MARK):
            raise RuntimeError("a writer ended by itself")
        time.sleep(draw.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        sent += 1
        while os.read(here, MARK):  # a verdict without a mark may be recorded or not, and is sent again
            sent += 1
        os.waitpid(child, 0)
        os.close(here)
    pipe.send(sent)


def _record(out: int, store: ReviewStore, number: int, items: int) -> None:
    try:
        while True:
            verdict = Verdict(kind="suggest", classes=(number % 3,))
            store.record("r", number % items + 1, ("ann", "bob")[number // items % 2], verdict, token=str(number))
            os.write(out, number.to_bytes(MARK))
            number += 1
    finally:
        os._exit(1)
