"""A program whose children record verdicts until it kills them: `writer.py ADDRESS KILLS ITEMS`.

It imports little and is warm when it forks, so that each child starts at once. It prints how many verdicts were
acknowledged.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from unshaken.labels.review.verdict import Verdict
from unshaken.serve.review.store import ReviewStore

MARK = 8
"""Bytes by which a child says that a verdict is recorded."""


def kill_writers(address: str, kills: int, items: int) -> int:
    """Start and kill writers; each begins with the first verdict that none before it has acknowledged.

    Args:
        address: of the store; its review `warm` is written to at the beginning.
        kills: how many.
        items: of the review.

    Returns:
        The number of acknowledged verdicts.
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
    return sent


def _record(out: int, store: ReviewStore, number: int, items: int) -> None:
    try:
        while True:
            verdict = Verdict(kind="suggest", classes=(number % 3,))
            store.record("r", number % items + 1, ("ann", "bob")[number // items % 2], verdict, token=str(number))
            os.write(out, number.to_bytes(MARK))
            number += 1
    finally:
        os._exit(1)


if __name__ == "__main__":
    sys.stdout.write(str(kill_writers(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
