"""Ctrl-C before a command has begun its work: one line, exit code 130, whatever is being imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from unshaken.cli import app
from unshaken.cli.session import Session

PROGRAM = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("swallowed") from None

sys.meta_path.insert(0, Finder())
sys.argv = ["unshaken", "list", "attack"]
import unshaken_start
sys.exit(unshaken_start.main())
"""


@pytest.mark.parametrize("module", ["unshaken", "typer", "unshaken.cli.app", "unshaken.core.registry"])
def test_an_interrupt_during_any_import_is_one_line(module):
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "unshaken: interrupted\n")


def test_the_program_is_found_outside_the_package():
    import unshaken
    import unshaken_start

    assert Path(unshaken_start.__file__).parent == Path(unshaken.__file__).parents[1]


def test_an_interrupt_while_the_command_line_is_read_is_told(unshaken, monkeypatch):
    def interrupted(*values):
        raise KeyboardInterrupt

    monkeypatch.setattr(app.build_command().commands["list"], "invoke", interrupted)
    assert unshaken("list") == type(unshaken("list"))(130, "", "unshaken: interrupted\n")


def test_a_run_says_how_to_go_on(monkeypatch):
    from unshaken.cli import session

    monkeypatch.setattr(session, "_current", Session())
    Session(["audit"]).makes_run("runs/x", given=False)
    assert session.interrupted_line().endswith("resume with: unshaken audit --out runs/x --resume")
