"""`main`: the program `unshaken`."""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from unshaken.cli.advice import epilog
from unshaken.cli.options import DEBUG, QUIET
from unshaken.cli.session import INTERRUPTED, Session
from unshaken.cli.session import explain as explain_failure
from unshaken.cli.verb import COMMANDS, Program
from unshaken.core.consent import call

ORDER = (
    *("audit", "attack", "certify", "matrix", "transfer", "explain", "evaluate", "inspect", "drift", "report"),
    *("compare", "merge", "query", "slices", "map", "list", "doctor", "corrupt", "fool", "serve", "card"),
)
"""Commands in the order of the help; every other one comes after them, by its name."""

app = Program(
    name="unshaken",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from unshaken import __version__

        typer.echo(f"unshaken {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_version, show_default=False
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help=QUIET.help, show_default=False),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG.help, show_default=False)] = False,
) -> None:
    """Test, certify and improve the robustness of vision models."""
    session: Session = ctx.find_root().obj
    session.quiet, session.debug = quiet, debug
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), nl=False)


for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
    importlib.import_module(f"{__package__}.{module.name}")
for name, command in sorted(COMMANDS.items(), key=lambda item: ((*ORDER, item[0]).index(item[0]), item[0])):
    if isinstance(command, Program):
        app.add_typer(command, name=name)
    else:
        app.command(name, epilog=epilog(name))(command)


@cache
def build_command() -> Any:
    """The program's command, made once a process: typer reads the signatures of all verbs for it."""
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; default those of this process.

    Returns:
        The exit code: 0 done and gates held; 1 a gate or claim failed; 2 wrong use or bad input; 3 finished, but some
        samples were recorded as bad; 130 interrupted.
    """
    session = Session(list(sys.argv[1:] if arguments is None else arguments))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a pipe of Windows and a C locale lack "≤"
        with suppress(OSError):  # of a file that became a pipe
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        command = build_command()
        with call(session.arguments):
            code = command.main(args=list(session.arguments), prog_name="unshaken", standalone_mode=False, obj=session)
        sys.stdout.flush()
        if code == INTERRUPTED and not session.has_failed:  # typer's parser was interrupted, which it does not tell
            raise KeyboardInterrupt
    except SystemExit as stop:  # typer's, when the shell asked for completions; verbs end by their code
        if isinstance(stop.__context__, BrokenPipeError):  # of typer or rich, whose reader went away
            return explain_failure(stop.__context__, session)
        *_, (frame, _) = traceback.walk_tb(stop.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] != "typer":
            return explain_failure(stop, session)
        code = stop.code
    except BaseException as error:
        return explain_failure(error, session)
    return code if isinstance(code, int) else 0
