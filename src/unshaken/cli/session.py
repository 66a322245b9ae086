"""One call of the command line: what it knows of itself, the progress it shows, and how it fails."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

import typer

from unshaken.cli.show import one_line, printable
from unshaken.core.errors import RunWarning, is_out_of_memory
from unshaken.core.user_code import describe_exit, is_raised_by_code, would_exit
from unshaken.store.address import bare

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from unshaken.core.progress import Event


@dataclass(slots=True)
class Session:
    """One call of the command line.

    Args:
        arguments: as they came, without the program's name.
        debug: show tracebacks.
        quiet: no progress and no tables.
        subcommand: of the verb that is being run; empty when there is none.
        resume: the command that goes on with the run under way; empty when there is none.
        shown: the run that a verb promised was shown, with its gates.
        has_failed: whether a failure was explained.
    """

    arguments: list[str] = field(default_factory=list)
    debug: bool = False
    quiet: bool = False
    subcommand: str = ""
    resume: str = ""
    shown: bool = False
    has_failed: bool = False

    def makes_run(self, out: str, *, given: bool) -> None:
        """Remember how the run that is about to begin can be resumed.

        Args:
            out: the run directory.
            given: it stands among the arguments already.
        """
        extra = [] if given else ["--out", out]
        if "--resume" not in self.arguments:
            extra.append("--resume")
        self.goes_on_with(extra)

    def goes_on_with(self, extra: list[str]) -> None:
        """Remember that the same command with further arguments goes on with what is under way."""
        self.resume = shlex.join(["unshaken", *self.arguments, *extra])
        _current.resume = self.resume


@contextmanager
def progress(session: Session) -> Iterator[None]:
    """Show the progress and the warnings of the work inside; no bars with `--quiet`, or where stderr is no terminal."""
    from unshaken.core.progress import listening

    if session.quiet or not sys.stderr.isatty():
        with listening(None), _warnings_on_stderr():
            yield
        return
    with _bars() as bars, listening(Listener(bars)), _warnings_on_stderr():
        yield


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Print each `RunWarning` as one line on stderr."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
        line: str | None = None,
    ) -> None:  # fmt: skip
        if issubclass(category, RunWarning):
            typer.echo(f"unshaken: {one_line(str(message))}", err=True)
        else:
            usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        usual, warnings.showwarning = warnings.showwarning, show
        warnings.simplefilter("always", RunWarning)
        yield


class Listener:
    """Shows a progress bar for every running task; nested tasks below each other.

    Args:
        bars: where they are drawn.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[int, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Show an event of a task in its bar."""
        known = self._tasks.get(event.task)
        if event.closed:
            if known is not None:
                self._bars.remove_task(self._tasks.pop(event.task))
            return
        name, note = printable(event.name), printable(event.note)
        done = f"{event.done:,.0f}" if event.total is None else f"{event.done / max(event.total, 1e-9):.0%}"
        speed = f"{event.rate:,.0f}/s" if event.rate >= 10 else f"{event.rate:.2g}/s" if event.rate else ""
        rate = f"{done}  {speed}".rstrip()
        if known is None:
            known = self._tasks[event.task] = self._bars.add_task(name, total=event.total, rate=rate, note=note)
        self._bars.update(known, description=name, total=event.total, completed=event.done, rate=rate, note=note)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )


_current = Session()
"""Of the call that is being run."""


def interrupted_line(session: Session | None = None) -> str:
    """Say that a call was interrupted, what it left, and how to go on.

    Args:
        session: of the call; None for the one that is being run.
    """
    resume = (session or _current).resume
    return f"interrupted; finished results are saved, resume with: {bare(resume)}" if resume else "interrupted"


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
    session.has_failed = True
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter's last flush fails too
        return PIPE_CLOSED
    if session.debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt) or _is(error, "unshaken.run.local", "Interrupted"):
        cause = error if isinstance(error, KeyboardInterrupt) else error.__cause__
        if isinstance(cause, KeyboardInterrupt) and is_raised_by_code(cause):
            typer.echo(f"unshaken: {one_line(describe_exit(cause))}", err=True)
            return WRONG
        typer.echo(f"unshaken: {interrupted_line(session)}", err=True)
        return INTERRUPTED
    typer.echo(f"unshaken: {one_line(_message(error, session))}", err=True)
    return WRONG


def _message(error: BaseException, session: Session) -> str:
    if isinstance(error, typer.BadParameter.__mro__[2]):  # ClickException, of whichever click typer brings
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "unshaken"
        return f"{error.format_message().rstrip('.')}; see {path} --help"  # type: ignore[attr-defined]
    if _is(error, "unshaken.core.errors", "UnshakenError"):
        return str(error)
    if would_exit(error):
        return describe_exit(error)
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
