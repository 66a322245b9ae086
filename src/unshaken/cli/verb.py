"""`verb`: enters a command; the values of all options are read strictly here."""

from __future__ import annotations

import collections
import collections.abc
import copy
import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.models import CommandFunctionType
from typing_extensions import override

from unshaken.cli.advice import epilog
from unshaken.cli.options import DEBUG, QUIET, AllowCode
from unshaken.cli.session import Session, explain
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.imports import plugins
from unshaken.core.numbers import LARGEST, LARGEST_COUNT, parse_number, parse_whole, shorten
from unshaken.core.options import (
    OVERWRITE,
    Argument,
    Option,
    OutputFile,
    OutputFolder,
    UpdatedFile,
    check_device,
    declared,
)
from unshaken.store.output import check_file, check_folder, check_updated_file

LONGEST = 20_000
"""Characters that the value of an option may have."""


def read_parameters(parameters: collections.abc.Iterable[inspect.Parameter]) -> Iterator[inspect.Parameter]:
    """Parameters as typer reads them: each `Option` becomes typer's own, whose values are read by this module.

    Args:
        parameters: of a command; an annotation is `Annotated[type, Option(...)]`, or a `TypedDict` of such, whose
            entries come last.
    """
    entries: list[tuple[str, tuple[Any, Option]]] = []
    for one in parameters:
        if typing.is_typeddict(one.annotation):
            entries += declared(one.annotation).items()
        else:
            own, option = typing.get_args(one.annotation)
            yield _read_parameter(one.name, str if option.word else own, option, one.default)
    for name, (kind, option) in entries:
        default = option.default
        if typing.get_origin(kind) is collections.abc.Sequence:
            kind, default = list[str] | None, None
        elif kind is not bool and (option.word or int not in (kind, *typing.get_args(kind))):
            kind = str if default is not None else str | None
        yield _read_parameter(name, kind, option, default)


def _read_parameter(name: str, own: Any, option: Option, default: Any) -> inspect.Parameter:
    kinds = {own, *typing.get_args(own)}
    kinds |= {k for kind in kinds for k in typing.get_args(kind)}
    by_place, is_flag = isinstance(option, Argument), bool in kinds
    flags = option.flags.split(",") if option.flags else [f"--{name.strip('_').replace('_', '-')}"]
    info = (typer.Argument if by_place else typer.Option)(
        *([] if by_place else flags),
        help=option.help,
        metavar="" if is_flag else option.metavar,  # a flag takes no value, so the help shows none
        parser=None if is_flag else _reader(name, kinds, option),
        autocompletion=option.complete,
        rich_help_panel=option.panel,
        show_default=default is not None and default is not False,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[own, info])


def _reader(name: str, kinds: set[Any], option: Option) -> Callable[[str], Any]:
    if option.word is not None:
        return _whole_or(*option.word, *(option.bounds or (0, LARGEST_COUNT)))
    if int in kinds:
        return _whole(*(option.bounds or (None, None)))
    if float in kinds:
        return _number(*(option.bounds or (-LARGEST, LARGEST)))
    reader = statement if option.metavar == "SQL" else {"out": place, "device": device}.get(name, text)
    further = option.read
    return reader if further is None else lambda value: further(reader(value))


def text(value: str) -> str:
    """Text that names something: not empty, printable, of a sensible length.

    Raises:
        BadParameter: it is not.
    """
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        raise typer.BadParameter(f"{value[:80]!r} holds a control character, such as a line break: remove it")
    return statement(value)


def place(value: str) -> str:
    """A place to write to: a `file:` address becomes a path.

    Raises:
        BadParameter: it is an address of files on this machine without a whole path, or of memory that ends with this
            process.
    """
    value = text(value)
    protocol, colon, rest = value.partition("://")
    if colon and protocol in ("file", "local"):
        if not rest.startswith("/"):
            raise typer.BadParameter(f"{value!r} has no whole path: write {protocol}:///FOLDER, or the path alone")
        return rest
    if colon and protocol == "memory":
        raise typer.BadParameter(f"{value!r} would be lost when this program ends: give a folder")
    return value


def device(value: str) -> str:
    """A device by name, of a kind that torch or a plug-in of torch brings.

    Raises:
        ModelError: there is no such kind.
    """
    return text(value) if plugins("torch.backends") else check_device(text(value))


def statement(value: str) -> str:
    """Text that may have several lines.

    Raises:
        BadParameter: it is empty, very long, or no Unicode.
    """
    if not value.strip():
        raise typer.BadParameter(f"{value!r} is empty: give a value, or leave it away")
    if len(value) > LONGEST:
        raise typer.BadParameter(f"{value[:30]!r}... has {len(value):,} characters; {LONGEST:,} are the most")
    if any(0xD800 <= ord(c) < 0xE000 for c in value) or "\0" in value:
        raise typer.BadParameter(f"{value[:80]!r} is no UTF-8 text: rename it")
    return value


def _whole(least: float | None, most: float | None) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if not isinstance(value, str):  # the default
            return int(value)
        try:
            return parse_whole(
                value, least=None if least is None else int(least), most=LARGEST_COUNT if most is None else int(most)
            )
        except ParameterError as error:
            raise typer.BadParameter(str(error)) from None

    return whole


def _whole_or(word: str, meaning: int | str, least: float, most: float) -> Callable[[Any], int | str]:
    def whole(value: Any) -> int | str:
        if value in (word, meaning):
            return meaning
        if not isinstance(value, str):
            return int(value)
        try:
            return parse_whole(text(value), least=int(least), most=int(most))
        except ParameterError:
            raise typer.BadParameter(
                f"{shorten(value)} is neither a whole number from {least} to {most:,} nor {word!r}"
            ) from None

    return whole


def _number(least: float, most: float) -> Callable[[Any], float]:
    def number(value: Any) -> float:
        if not isinstance(value, str):  # the default
            return float(value)
        try:
            found = parse_number(value)
        except ParameterError as error:
            raise typer.BadParameter(str(error)) from None
        if not least <= found <= most:
            raise typer.BadParameter(f"{value} is out of range: write a number from {least:,g} to {most:,g}")
        return found

    return number


OUTPUTS = OutputFile | OutputFolder | UpdatedFile
"""Options that name a place to write to."""


def check_output(path: str, option: Option, name: str, *, overwrite: bool) -> None:
    """Refuse to write where something else stands.

    Args:
        path: as it was given.
        option: an `OutputFile`, an `OutputFolder` or an `UpdatedFile`.
        name: of the option, for messages.
        overwrite: whether a file that is there may be replaced.

    Raises:
        ParameterError: something else stands there, or nothing can be written.
    """
    if isinstance(option, OutputFolder):
        check_folder(path, name, option.records)
        return
    if isinstance(option, UpdatedFile):
        place = path.removeprefix("sqlite:///")
        if "://" not in place and not (option.stream and place == "-"):
            check_updated_file(place, name, option.kind, begins=option.begins, endings=option.endings)
        return
    check_file(path, name, overwrite=overwrite)
    for suffix in option.suffixes if isinstance(option, OutputFile) else ():
        check_file(Path(path).with_suffix(suffix), f"{name}, beside it", overwrite=overwrite)


def _options(parameters: collections.abc.Iterable[inspect.Parameter]) -> Iterator[tuple[str, Option]]:
    for one in parameters:
        if typing.is_typeddict(one.annotation):
            yield from ((name, option) for name, (_, option) in declared(one.annotation).items())
        else:
            yield one.name, typing.get_args(one.annotation)[1]


Command = Callable[..., int]


def _refuse_repeats(command: TyperCommand | TyperGroup, ctx: Any, args: list[str]) -> None:
    """Refuse an option that takes one value, or says yes or no, and was given several times."""
    if ctx.resilient_parsing:
        return
    _, _, order = command.make_parser(ctx).parse_args(list(args))
    for one, n in collections.Counter(order).items():
        if n > 1 and isinstance(one, TyperOption) and not one.multiple and (not one.is_flag or one.secondary_opts):
            taken = "is either on or off" if one.is_flag else "takes one value"
            raise ParameterError(f"{one.opts[0]} is given {n} times, and {taken}: give it once")


HELP = "unshaken.cli.help"
"""Key of a context: "short" while its help is made of the first options alone, "all" once every option is asked for."""


def _print_all(ctx: typer.Context, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        ctx.meta[HELP] = "all"
        typer.echo(ctx.get_help(), nl=False)
        raise typer.Exit


def _fold(command: TyperCommand | TyperGroup, ctx: Any, every: list[Any]) -> list[Any]:
    """Parameters of a command: in a short help its first ones, see `verb`, else every one."""
    if ctx.command is not command or ctx.meta.get(HELP) != "short":  # a group is asked in the context of its command
        return every
    first: str = getattr(command.callback, "first", "")
    if not first:
        return every
    options = {flag: one for one in every if isinstance(one, TyperOption) for flag in one.opts}
    shown = [copy.copy(options[f"--{name}"]) for name in (*first.split(), "help", "help-all")]
    for one in shown:
        one.rich_help_panel = None
    shown[-1].help = f"Show {sum(isinstance(one, TyperOption) for one in every) - len(shown)} more options and exit."
    shown[-1].hidden = False
    return [*(one for one in every if not isinstance(one, TyperOption)), *shown]


class _Verb(TyperCommand):
    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_repeats(self, ctx, args)
        return super().parse_args(ctx, args)

    @override
    def get_params(self, ctx: Any) -> list[Any]:
        return _fold(self, ctx, super().get_params(ctx))

    @override
    def format_help(self, ctx: Any, formatter: Any) -> None:
        ctx.meta.setdefault(HELP, "short")
        super().format_help(ctx, formatter)


class _Group(TyperGroup):
    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_repeats(self, ctx, args)
        return super().parse_args(ctx, args)

    @override
    def get_params(self, ctx: Any) -> list[Any]:
        return _fold(self, ctx, super().get_params(ctx))

    @override
    def format_help(self, ctx: Any, formatter: Any) -> None:
        ctx.meta.setdefault(HELP, "short")
        super().format_help(ctx, formatter)


class Program(typer.Typer):
    """Commands under a name. An option of theirs that takes one value is refused when it is given twice."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_Group, **settings)

    @override
    def command(self, name: str | None = None, **settings: Any) -> Callable[[CommandFunctionType], CommandFunctionType]:
        return super().command(name, cls=_Verb, **settings)


COMMANDS: dict[str, Program | Command] = {}
"""Name to each command of the program and each group of them, filled by `verb` and `group`."""


def group(name: str, **settings: Any) -> Program:
    """A group of commands of the program, such as `detect`, with the advice on it at the end of its help."""
    COMMANDS[name] = program = Program(name=name, epilog=epilog(name), **settings)
    return program


KEYWORD = inspect.Parameter.KEYWORD_ONLY
CONTEXT = inspect.Parameter("ctx", KEYWORD, annotation=typer.Context)
CONSENT = inspect.Parameter("allow_code", KEYWORD, annotation=AllowCode, default=None)
REPLACES = inspect.Parameter("overwrite", KEYWORD, annotation=Annotated[bool, OVERWRITE], default=False)
HELP_ALL = inspect.Parameter(
    "help_all",
    KEYWORD,
    annotation=Annotated[
        bool,
        typer.Option("--help-all", is_eager=True, callback=_print_all, hidden=True, metavar="", show_default=False),
    ],
    default=False,
)
DISPLAY = (
    inspect.Parameter("quiet", KEYWORD, annotation=Annotated[bool, QUIET], default=False),
    inspect.Parameter("debug", KEYWORD, annotation=Annotated[bool, DEBUG], default=False),
)
"""Options of every command."""


def verb(*, name: str = "", first: str = "", python: str = "") -> Callable[[Command], Command]:
    """Make a command of the program from a function.

    The function may have two parameters that are no options of its own: `session`, and `options`, which stands for
    all entries of `Options` and for `--allow-code`. It returns the exit code; what it raises becomes one line and a
    code. Places that it writes to are checked before it is called. Its docstring is the help, its annotated parameters
    are the options.

    Args:
        name: of a command of the program itself; empty for one of a group, which its `Program` enters.
        first: the options that `--help` shows, with blanks between; `--help-all` shows the others too. Empty for all.
        python: the public function that does the same, below `unshaken`.
    """

    def make(command: Command) -> Command:
        run = _command(command)
        run.first, run.python = first, python  # type: ignore[attr-defined]
        if name:
            COMMANDS[name] = run
        return run

    return make


def _command(command: Command) -> Command:
    own = dict(inspect.signature(command, eval_str=True).parameters)
    wants_session, group = own.pop("session", None), own.get("options")
    of_runs = declared(group.annotation) if group is not None else {}
    consent = [CONSENT] if group is not None else []
    outputs = {name: option for name, option in _options(own.values()) if isinstance(option, OUTPUTS)}
    writes_file = any(isinstance(option, OutputFile) for option in outputs.values())
    further = [*consent, *([REPLACES] if writes_file else []), *DISPLAY]
    parameters = [CONTEXT, *read_parameters(own.values()), *read_parameters(further), HELP_ALL]

    @functools.wraps(command)
    def run(ctx: typer.Context, quiet: bool, debug: bool, help_all: bool, **values: Any) -> int:
        session: Session = ctx.find_root().obj
        session.quiet, session.debug = session.quiet or quiet, session.debug or debug
        session.subcommand = ctx.invoked_subcommand or ""
        overwrite, places = values.pop("overwrite", False), {name: values[name] for name in outputs}
        if group is not None:
            del values["allow_code"]
            given = {name: values.pop(name) for name in of_runs}
            values["options"] = {k: of_runs[k][1].default if v is None else v for k, v in given.items()}
        if wants_session:
            values["session"] = session
        from unshaken.api.options import check_options

        gates = group is not None or "gate" in own  # the verb promises a summary and its gates
        try:
            for name, place in places.items():
                if place is not None:
                    check_output(place, outputs[name], f"--{name}", overwrite=overwrite)
            if group is not None:
                check_options(**values["options"])
            code = command(**values)
            if code == 0 and gates and not session.shown:
                raise RunError("this call ended without its summary and its gates: no figure was judged; run it again")
            return code
        except BaseException as error:
            return explain(error, session)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.outputs = outputs  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
