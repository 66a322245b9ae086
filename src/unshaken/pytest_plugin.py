"""The plug-in of pytest: the fixture `assert_robust`. Nothing of this package is imported before a test uses it."""

from __future__ import annotations

import hashlib
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
            out = base / f"{_file_name(request.node.nodeid)}{f'-{calls}' if calls > 1 else ''}"
            options["out"] = out if options.get("resume") else _free(out)
        done = assert_gates(model, data, **options)
        request.node.user_properties.extend((f"unshaken: {g.text}", g.value) for g in done.gates)
        return done

    return check


def _file_name(test: str) -> str:
    """A test's id as a name of a folder; where two ids could have the same, with a digest.

    >>> _file_name("tests/test_net.py::test_fog"), _file_name("test_net.py::test_fog[a/b]")
    ('tests-test_net.py--test_fog', 'test_net.py--test_fog-a-b-4d4b0a21')
    """
    usual = test.replace("/", "-").replace("::", "--")
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in usual)[-100:].strip("-.")
    digest = hashlib.blake2b(test.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()
    return plain if plain == usual else f"{plain}-{digest}"


def _free(place: Path) -> Path:
    """The folder, or the first of `NAME.2`, `NAME.3`, ... that an earlier session has not filled."""
    found, number = place, 1
    while found.is_dir() and any(found.iterdir()):
        number += 1
        found = place.with_name(f"{place.name}.{number}")
    return found
