"""What the tests of this room share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def peer() -> ModuleType:
    """The module `peer.py` of this folder: the reference implementation, photos, comparisons."""
    spec = importlib.util.spec_from_file_location("stress_peer", Path(__file__).with_name("peer.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
