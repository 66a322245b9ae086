"""A pytest plugin: what Windows lacks is absent from the package, so that its other ways are tried on any system.

    python -m pytest -p tests.another_system tests/store tests/run/test_local.py

There is no `flock`: locks are leases. No folder can be opened, `os.kill` ends what it is asked about, and nothing tells
when a process started. Processes are started by `spawn` anyway. Tests of the locks of an operating system are left out.
"""

from __future__ import annotations

import errno
import os
from types import ModuleType
from typing import Any

import pytest

from unshaken.store import lock, owner, run_dir


class Other:
    """A module with other values for some of its names."""

    def __init__(self, module: ModuleType, **values: Any) -> None:
        self._module = module
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def open_no_folder(path: str, *arguments: Any) -> int:
    """`os.open` of Windows."""
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "a folder", path)
    return os.open(path, *arguments)


def kill_nobody(pid: int, number: int) -> None:
    """`os.kill`, which on Windows ends the process for most numbers, 0 among them."""
    raise AssertionError(f"process {pid} would be ended")


def change(patch: pytest.MonkeyPatch) -> None:
    """Take away what Windows lacks."""
    for module in (lock, owner):
        patch.setattr(module, "sys", Other(module.sys, platform="win32"))
    patch.delattr(lock, "fcntl")
    patch.setattr(owner, "os", Other(os, kill=kill_nobody))
    patch.setattr(owner, "_start_of", lambda pid: None)
    patch.setattr(run_dir, "os", Other(os, open=open_no_folder))


def pytest_configure() -> None:
    """For the whole session."""
    change(pytest.MonkeyPatch())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of what is taken away."""
    without = [item for item in items if item.path.name in {"test_lock.py", "test_owner.py"}]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]
