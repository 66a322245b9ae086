"""The plugin that fails slow tests, and its list of those that may take longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import times

ROOT = Path(__file__).parents[1]
BURN = """import time
import pytest
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""


@pytest.fixture
def outcomes(pytester, monkeypatch):
    """Runs a test file with the plugin, where a test may take 0.1 seconds; gives the outcomes by name."""
    monkeypatch.setattr(times, "SLACK", 0.2)
    monkeypatch.setattr(times, "LISTED", {"test_toy.py::test_listed": (2.0, "a reason")})

    def run(text):
        pytester.makepyfile(test_toy=BURN + text)
        pytester.makeini("[pytest]\nmarkers = long")
        done = pytester.inline_run("-p", "tests.times", "-p", "no:cacheprovider")
        reports = done.getreports("pytest_runtest_logreport")
        return {r.nodeid.partition("::")[2]: (r.outcome, r.longreprtext) for r in reports if r.when == "call"}

    return run


def test_a_slow_test_fails_unless_it_is_long_or_listed(outcomes):
    found = outcomes(
        "def test_quick(): pass\n"
        "def test_slow(): burn(0.15)\n"
        "def test_listed(): burn(0.15)\n"
        "@pytest.mark.long\ndef test_long(): burn(0.15)\n"
        "@pytest.fixture\ndef own(): burn(0.15)\n"
        "def test_with_a_slow_fixture(own): pass\n"
        "def test_wrong_and_slow(): burn(0.15); assert 1 == 2\n"
    )
    failed = {name for name, (outcome, _) in found.items() if outcome == "failed"}
    assert failed == {"test_slow", "test_with_a_slow_fixture", "test_wrong_and_slow"}
    assert "s of a processor, more than 0.1 s: make it cheaper" in found["test_slow"][1]
    assert "assert 1 == 2" in found["test_wrong_and_slow"][1]


def test_what_is_made_once_does_not_count(outcomes):
    """The first test that needs it runs twice; others that share it pass by it."""
    found = outcomes(
        "made = []\n"
        "@pytest.fixture(scope='session')\ndef shared(): burn(0.15)\n"
        "def test_first():\n    made or burn(0.15)\n    made.append(1)\n"
        "def test_shared(shared): pass\n"
        "def test_second(): assert made == [1, 1]\n"
    )
    assert {outcome for outcome, _ in found.values()} == {"passed"}


def test_what_is_listed_is_there_and_says_why():
    for name, (seconds, reason) in times.LISTED.items():
        file, _, function = name.partition("::")
        assert f"def {function.rpartition('::')[2]}(" in (ROOT / file).read_text(encoding="utf-8"), name
        assert seconds > times.ALLOWED
        assert len(reason.split()) >= 4, f"{name}: why does it take {seconds} s?"
