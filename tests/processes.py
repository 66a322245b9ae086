"""Processes for tests: forked from a server that has imported the package once, so that each starts in milliseconds."""

from __future__ import annotations

import atexit
import functools
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
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


BARE = """
import json, os, sys, torch, traceback
for line in sys.stdin:
    program, printed = json.loads(line)
    if (child := os.fork()) == 0:
        code = 1
        try:
            with open(printed, "w") as file:
                os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
            exec(program, {"__name__": "__main__"})
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _bare_server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, "-c", BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.wait)
    atexit.register(server.kill)
    return server


def run_program(program: str, printed: Path) -> str:
    """What a program prints in a process that has imported torch, and nothing of the package.

    Args:
        program: Python.
        printed: a file for what it prints.
    """
    server = _bare_server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([program, str(printed)]) + "\n")
    server.stdin.flush()
    code, text = int(server.stdout.readline()), printed.read_text(encoding="utf-8")
    assert code == 0, text
    return text


def run_module(name: str, arguments: Sequence[str], folder: Path, printed: Path) -> None:
    """Run a module as `python -m` does, in this process and a folder, with what it prints in a file."""
    _print_into(printed)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def run_script(file: Path, arguments: Sequence[str], printed: Path) -> None:
    """Run a Python file as its command does, in this process, with what it prints in a file."""
    _print_into(printed)
    sys.argv = [str(file), *arguments]
    runpy.run_path(str(file), run_name="__main__")


def run_command(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    printed: Path | None = None,
    output: Connection | None = None,
) -> None:
    """Run the program `unshaken` in this process, and exit with its code.

    Args:
        arguments: of the program.
        environment: variables that are set before.
        folder: to work in; None for the one where the server of processes was started.
        printed: a file for what it prints; None for the terminal.
        output: a pipe in the place of its standard output.
    """
    from unshaken.cli import main

    os.environ.update(environment)
    if folder is not None:
        os.chdir(folder)
    if printed is not None:
        _print_into(printed)
    if output is not None:
        os.dup2(output.fileno(), 1)
    sys.exit(main(arguments))


def _print_into(file: Path) -> None:
    with file.open("w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)


def run_launched(arguments: Sequence[str], count: int, function: Callable[..., int] | None = None) -> None:
    """Run the program `unshaken` in several processes as torchrun launches them, and exit with 0 if all of them do.

    Args:
        arguments: of the program.
        count: of processes.
        function: called with the arguments in the place of the program.
    """
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from unshaken.cli import main

    ports = {"rdzv_backend": "c10d", "rdzv_endpoint": "127.0.0.1:0", "local_addr": "127.0.0.1"}
    config = LaunchConfig(1, 1, count, run_id="tests", max_restarts=0, start_method="forkserver", **ports)
    codes = elastic_launch(config, function or main)(list(arguments))
    sys.exit(0 if codes == dict.fromkeys(range(count), 0) else 1)
