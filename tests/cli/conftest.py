"""The command line called in this process, and a small world of models, images and runs."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from unshaken.cli import main


@dataclass(frozen=True)
class Result:
    """What a call gave."""

    code: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def unshaken(capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line with a line as typed, or with arguments."""

    def call(*arguments: str) -> Result:
        words = shlex.split(arguments[0]) if len(arguments) == 1 else list(arguments)
        capsys.readouterr()
        code = main(words)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """The module `world.py` of this folder."""
    path = Path(__file__).with_name("world.py")
    spec = importlib.util.spec_from_file_location("cli_world", path)
    module = sys.modules["cli_world"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: ModuleType) -> Path:
    """A working folder with `net.py`, `photos` and short plans."""
    world.write_good(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
