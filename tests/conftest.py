"""What all tests share: one thread a worker, a hypothesis profile, and skips that count as failures in CI."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is first imported

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script; processes of tests would, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["pytester"]

ALLOWED_SKIPS = (
    "no CUDA device",
    "no MPS device",
    "this processor has no fast product of bytes",
)
"""Reasons that hold in CI too: hardware that its machines have not got."""

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Generator[None]:
    """Files of tests need not outlive a power cut; tests of what a failing `fsync` does put their own in its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def browser() -> Any:
    """A Chromium without a network."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome != "skipped" or hasattr(report, "wasxfail") or os.environ.get("UNSHAKEN_NO_SKIPS") != "1":
        return
    reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(allowed in reason for allowed in ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"UNSHAKEN_NO_SKIPS=1 allows no skip, and this was one. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting tests makes stays to the end: no garbage is looked for in it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips fails in CI, unless its reason is allowed."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole file that skips fails in CI, unless its reason is allowed."""
    report = yield
    _refuse_skip(report)
    return report
