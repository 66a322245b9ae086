"""Turn any exception into one line on stderr and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import typer

from unshaken.cli.session import Session
from unshaken.cli.show import one_line
from unshaken.core.errors import is_out_of_memory
from unshaken.store.address import bare

WRONG = 2
"""Wrong use or bad input."""
INTERRUPTED = 130
"""As shells say of a program that Ctrl-C ended."""
PIPE_CLOSED = 141
"""As shells say of a program whose reader went away."""


def explain(error: BaseException, session: Session) -> int:
    """Print an exception as one line on stderr, after the traceback with `--debug`.

    Returns:
        The exit code.
    """
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter's last flush fails too
        return PIPE_CLOSED
    if session.debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt | typer.Abort) or _is(error, "unshaken.run.local", "Interrupted"):
        kept = f"; finished results are saved, resume with: {bare(session.resume)}" if session.resume else ""
        typer.echo(f"unshaken: interrupted{kept}", err=True)
        return INTERRUPTED
    typer.echo(f"unshaken: {one_line(_message(error, session))}", err=True)
    return WRONG


def is_usage(error: BaseException) -> bool:
    """Whether the parser of the command line raised it."""
    return isinstance(error, typer.BadParameter.__mro__[2])  # its ClickException, whichever click typer brings


def _message(error: BaseException, session: Session) -> str:
    if is_usage(error):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "unshaken"
        return f"{error.format_message().rstrip('.')}; see {path} --help"  # type: ignore[attr-defined]
    if _is(error, "unshaken.core.errors", "UnshakenError"):
        return str(error)
    if isinstance(error, OSError):
        what = error.strerror or str(error) or type(error).__name__
        where = f": {error.filename}" if error.filename else ""
        return f"{what}{where}{'; free some space' if error.errno == errno.ENOSPC else ''}"
    if is_out_of_memory(error):
        return "memory ran out; try a smaller --batch-size, or --limit"
    how = "" if session.debug else "; --debug shows the traceback"
    message = str(error).strip().partition("\n")[0]
    return f"this is a bug, please report it: {type(error).__name__}: {message}{how}"


def _is(error: BaseException, module: str, name: str) -> bool:
    """Whether it is of a class of ours. A module that was never imported has raised nothing."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(error, cls)
