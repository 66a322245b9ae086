"""The plug-in of pytest: the fixture `assert_robust`. Nothing of this package is imported before a test uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from unshaken.api import Audit


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--robust-out`."""
    group = parser.getgroup("unshaken", "robustness of vision models")
    group.addoption(
        "--robust-out",
        metavar="DIR",
        default=None,
        help="Keep the run directories of assert_robust in DIR, one for each test. Default: pytest's temporary folder.",
    )


@pytest.fixture
def assert_robust(request: pytest.FixtureRequest) -> Callable[..., Audit]:
    """Call `unshaken.testing.assert_robust` with a run directory of this test's own.

    Figures that gates met become properties of the test, which `--junitxml` writes.
    """
    place = request.config.getoption("--robust-out")
    calls = 0

    def check(model: Any, data: Any, **options: Any) -> Audit:
        nonlocal calls
        __tracebackhide__ = True
        from unshaken.testing import assert_robust as assert_gates

        calls += 1
        if "out" not in options:
            base = request.getfixturevalue("tmp_path") if place is None else Path(place)
            options["out"] = base / f"{_file_name(request.node.nodeid)}{f'-{calls}' if calls > 1 else ''}"
        done = assert_gates(model, data, **options)
        request.node.user_properties.extend((f"unshaken: {g.text}", g.value) for g in done.gates)
        return done

    return check


def _file_name(test: str) -> str:
    """A test's id as a name of a folder."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in test.rpartition("/")[2])
    return plain[-100:].strip("-.") or "test"
