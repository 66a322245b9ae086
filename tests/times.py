"""A pytest plugin: a test whose own work takes more than half a second of a processor is marked `long` or says why.

    python -m pytest -p tests.times tests/attack

Counted are a test and the fixtures of its own, with the processes that it waits for. A test above its limit runs once
more, and the lesser time decides: what it was the first to import, to cache or to make for others does not count.
`times.json` names the functions whose cases may take longer, with the slowest one's seconds and the reason. A limit is
twelve times these or twelve times half a second, so that no slow or busy machine fails a test. `UNSHAKEN_TIMES=write`
writes the file anew.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

FILE = Path(__file__).with_name("times.json")
LISTED: dict[str, tuple[float, str]] = json.loads(FILE.read_text(encoding="utf-8"))
MEASURED: dict[str, float] = {}
ALLOWED, SLACK = 0.5, 12.0
WRITES = os.environ.get("UNSHAKEN_TIMES") == "write"
SPENT = pytest.StashKey[float]()


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _count(item: pytest.Item) -> Generator[None, Any, Any]:
    began = _processor_seconds()
    try:
        return (yield)
    finally:
        item.stash[SPENT] = item.stash.get(SPENT, 0.0) + _processor_seconds() - began


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    return (yield from _count(request.node)) if fixturedef.scope == "function" else (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _count(item))


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> tuple[list[pytest.TestReport], float]:
    item.stash[SPENT] = 0.0
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    return reports, item.stash[SPENT]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test, and once more if it took too long."""
    if item.get_closest_marker("long"):
        return None
    listed, _ = LISTED.get(item.nodeid.partition("[")[0], (ALLOWED, ""))
    limit = ALLOWED if WRITES else SLACK * listed
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports, seconds = _run(item, nextitem)
    if seconds > limit and all(report.passed for report in reports):
        seconds = min(seconds, _run(item, nextitem)[1])
    for report in reports:
        if report.when == "call" and report.passed and seconds > limit:
            report.user_properties.append(("seconds", seconds))
            if not WRITES:
                how = f"takes {seconds:.1f} s of a processor, more than {limit:.1f} s"
                report.outcome = "failed"
                report.longrepr = f"{how}: make it cheaper, mark it long, or give the reason in tests/times.json"
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what is written at the end, from all workers."""
    for _, seconds in (p for p in report.user_properties if p[0] == "seconds"):
        name = report.nodeid.partition("[")[0]
        MEASURED[name] = max(MEASURED.get(name, 0.0), round(seconds, 1))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if WRITES and not hasattr(session.config, "workerinput"):
        found = {name: (seconds, LISTED.get(name, (0, ""))[1]) for name, seconds in sorted(MEASURED.items())}
        lines = (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in found.items())
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
