"""A process that is killed while it records loses no verdict that it acknowledged, and leaves none twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.review.replay import CLASSES, check_counted, items

pytestmark = pytest.mark.long

KILLS = {"sqlite": 100, "postgresql": 20}


def test_verdicts_survive_kills(store, address):
    kills = KILLS[address.partition("+")[0].partition(":")[0]]
    store.create("warm", classes=CLASSES, items=items(1))
    command = [sys.executable, str(Path(__file__).parent / "writer.py"), address, str(kills), "12"]
    sent = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout)
    tokens = [int(row.token) for row in store.verdicts("r")]
    assert tokens[:sent] == list(range(sent))
    assert len(tokens) - sent in (0, 1)  # the last one may have been recorded without a word
    assert sent >= kills
    check_counted(store)
