"""A process that is killed while it records loses no verdict that it acknowledged, and leaves none twice."""

from __future__ import annotations

from tests.processes import SERVER, process
from tests.serve.review.replay import CLASSES, check_counted, items
from tests.serve.review.writer import kill_writers

KILLS = {"sqlite": 100, "postgresql": 20}


def test_verdicts_survive_kills(store, address):
    kills = KILLS[address.partition("+")[0].partition(":")[0]]
    store.create("warm", classes=CLASSES, items=items(1))
    here, there = SERVER.Pipe(duplex=False)
    with process(kill_writers, there, address, kills, 12):
        assert here.poll(120)
        sent = here.recv()
    tokens = [int(row.token) for row in store.verdicts("r")]
    assert tokens[:sent] == list(range(sent))
    assert len(tokens) - sent in (0, 1)  # the last one may have been recorded without a word
    assert sent >= kills
    check_counted(store)
