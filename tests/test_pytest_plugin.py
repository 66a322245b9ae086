"""The plug-in in a toy project, run in this process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unshaken.core.errors import ParameterError
from unshaken.testing import assert_robust as plain

TESTS = """
PLAN = [{"method": "brightness", "severities": [1]}]

def check(assert_robust, *gates):
    return assert_robust("demo", "demo", gate=gates, plan=PLAN, limit=20, save_examples=0)

def test_holds(assert_robust):
    done = check(assert_robust, "clean.accuracy >= 0.1")
    assert done.summary["clean"]["n"] == 20
    check(assert_robust, "clean.accuracy >= 0.1")

def test_fails(assert_robust):
    check(assert_robust, "clean.accuracy >= 0.1", "brightness.accuracy == 0")
"""


def test_a_gate_decides_a_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_toy=TESTS)
    done = pytester.runpytest_inprocess(
        *("-p", "unshaken.pytest_plugin", "--robust-out", "runs", "--junitxml", "junit.xml", "-p", "no:cacheprovider")
    )
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*AssertionError: 1 of 2 gates failed:",
            "*brightness.accuracy == 0: brightness-1*n = 20; asked: exactly 0 %",
            "*report: runs/test_toy.py--test_fails/report.html",
        ]
    )
    done.stdout.no_fnmatch_line("*as for `unshaken.audit`*")  # the trace ends in the test
    assert (pytester.path / "runs" / "test_toy.py--test_fails" / "report.html").is_file()
    assert (pytester.path / "runs" / "test_toy.py--test_holds-2" / "summary.json").is_file()
    assert 'name="unshaken: clean.accuracy &gt;= 0.1"' in (pytester.path / "junit.xml").read_text()


SAME_NAMES = """
import pytest
from pathlib import Path

def audit(model, data, *, plan, out, gates, **options):
    assert not (Path(out) / "run.json").exists()
    Path(out).mkdir(parents=True, exist_ok=True)
    (Path(out) / "run.json").write_text(str(options))
    return type("Done", (), {"gates": [], "run": out})

@pytest.mark.parametrize("data", ["a/photos", "b/photos", "x" * 200 + "1", "x" * 200 + "2"])
def test_it(assert_robust, data, monkeypatch):
    monkeypatch.setattr("unshaken.api.audit", audit)
    assert_robust("demo", data, gate="clean.accuracy >= 0")
"""


def test_no_two_tests_and_no_two_sessions_share_a_directory(pytester: pytest.Pytester) -> None:
    for folder in ("one", "two"):
        (pytester.mkdir(folder) / "test_same.py").write_text(SAME_NAMES)
    options = (
        "-p",
        "unshaken.pytest_plugin",
        "--robust-out",
        "runs",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
    )
    for session in (1, 2):
        pytester.runpytest_inprocess(*options).assert_outcomes(passed=8)
        assert len(list((pytester.path / "runs").iterdir())) == 8 * session


def test_no_gate_is_refused(tmp_path) -> None:
    with pytest.raises(ParameterError, match="gate is empty"):
        plain("demo", "demo", gate=(), out=tmp_path / "run")


def test_the_plugin_imports_nothing_before_it_is_used() -> None:
    code = "import sys, unshaken.pytest_plugin; print({'torch', 'numpy', 'unshaken.api'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
