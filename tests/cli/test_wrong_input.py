"""A sample of the generated wrong invocations and damaged files of `benchmarks/wrong_input.py`, in this process."""

from __future__ import annotations

import importlib
import random
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def generators(monkeypatch):
    """The modules that make wrong command lines and damaged files."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_wrong_calls"), importlib.import_module("_hostile_files")


def check_message(result, right):
    assert "this is a bug" not in result.err
    assert result.code in right
    assert result.code != 2 or result.err.count("\n") == 1
    assert all(line.isprintable() for line in result.err.splitlines())


def test_wrong_invocations_are_told(unshaken, place, generators):
    dice = random.Random(1)
    for _ in range(15):
        arguments = generators[0].wrong_call(dice)
        if arguments[1] != "score":  # there are no detectors here
            check_message(unshaken(*arguments), (2,))
    assert not (place / "new/run.json").exists()


@pytest.mark.parametrize("name", ["photos/dark/0.png", "fog.yaml"])
def test_damaged_files_are_told(unshaken, place, generators, name):
    dice = random.Random(0)
    good = (place / name).read_bytes()
    for number in range(2):
        how = generators[1].damage(place / name, dice)
        check_message(
            unshaken(*generators[0].replaced(generators[0].BASES["audit"], "--out", f"new{number}")), (0, 2, 3)
        )
        if how == "folder":
            (place / name).rmdir()
        else:
            (place / name).unlink()
        (place / name).write_bytes(good)


def test_a_training_option_that_there_is_not_is_told(unshaken, place):
    result = unshaken("harden --model small --data folder:photos --out new --set schedul=step")
    check_message(result, (2,))
    assert "there is no training option 'schedul'; did you mean 'schedule'?" in result.err
