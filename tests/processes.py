"""Processes for tests: forked from a server that has imported the package once, so that each starts in milliseconds."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.preload"])


@contextmanager
def process(function: Callable[..., Any], *arguments: Any, **given: Any) -> Iterator[BaseProcess]:
    """A function at work in a process of its own, which is killed at the end if it is still there.

    Args:
        function: of a module that can be imported by name.
        arguments: of the function.
        given: those by keyword.
    """
    child = SERVER.Process(target=function, args=arguments, kwargs=given)
    child.start()
    try:
        yield child
    finally:
        child.kill()
        child.join()


def run_script(file: Path, arguments: Sequence[str], printed: Path) -> None:
    """Run a Python file as its command does, in this process, with what it prints in a file."""
    with printed.open("w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    sys.argv = [str(file), *arguments]
    runpy.run_path(str(file), run_name="__main__")


def run_command(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run the program `unshaken` in this process, with some environment variables, and exit with its code."""
    from unshaken.cli import main

    os.environ.update(environment)
    sys.exit(main(arguments))
