"""The user's own code: loaded because a SPEC `py:FILE_OR_MODULE:FACTORY` names it, and kept from ending the process.

See `unshaken.core.consent`.
"""

from __future__ import annotations

import dis
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from unshaken.core.errors import ModelError, UnshakenError, did_you_mean, near_path
from unshaken.core.texts import first_line


def call_factory(place: str, factory: str, *, otherwise: str = "it needs arguments") -> tuple[Any, Path | None]:
    """Call a factory of a file (`net.py`) or a dotted module without arguments.

    Args:
        place: file or module; one of the working folder is found, too, and a copy of the file (`use_copy`).
        factory: name of a callable in it.
        otherwise: what to say of one that cannot be called without arguments.

    Returns:
        What it gives, and the file that it stands in, where there is one.

    Raises:
        ModelError: the module or the factory is absent, or raises.
    """
    where = f"py:{place}:{factory}"
    with _working_folder():
        function, source = _find(place, factory, where)
        try:
            made = function()
        except UnshakenError:
            raise
        except Exception as error:
            hint = "" if takes(function, 0) else f"; {otherwise}"
            raise ModelError(
                f"{where}: the factory raised {type(error).__name__}: {first_line(error)}{hint}"
            ) from error
    return made, source


def find_function(place: str, function: str) -> tuple[Callable[..., Any], Path | None]:
    """A callable of a file or a dotted module, not called; see `call_factory`."""
    with _working_folder():
        return _find(place, function, f"py:{place}:{function}")


def _find(place: str, name: str, where: str) -> tuple[Callable[..., Any], Path | None]:
    module = _import(place, where)
    found = getattr(module, name, None)
    if not callable(found):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ModelError(f"{where}: no callable {name!r} in {place!r}; {did_you_mean(name, names)}")
    source = getattr(module, "__file__", None)
    return found, Path(source) if source else None


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Whether a callable can be called with a number of arguments alone; True where that cannot be known.

    >>> takes(lambda images: images, 1), takes(lambda images: images, 0)
    (True, False)
    """
    try:
        inspect.signature(function).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        pass
    return True


_copies: dict[str, Path] = {}


def use_copy(place: str, copy: Path) -> None:
    """Load a copy in the place of a file that another machine's SPEC names.

    Args:
        place: the file as a SPEC names it.
        copy: of the file, on this machine.
    """
    _copies[place] = copy


_PACKAGE = Path(__file__).parents[1]  # not resolved: frames name files as they were found, through links
OWN = (f"{_PACKAGE}{os.sep}", f"{_PACKAGE}_start.py")
"""The folder of this package, and the program beside it."""
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
"""Folders of Python's library and of installed packages."""
_RAISES = dis.opmap["RAISE_VARARGS"]


@contextmanager
def refuse_exit(*, interrupts: bool = False) -> Iterator[None]:
    """Turn what would end the process without an error into one: `SystemExit`, the exits of click, and their like.

    Code of a model, a data set or a plug-in may call `sys.exit(0)`, and the program would end as if all were well.

    Args:
        interrupts: treat `KeyboardInterrupt` in the same way; for processes that Ctrl-C does not reach.

    Raises:
        UnshakenError: such an exception was raised inside; the message names the code.
    """
    try:
        yield
    except BaseException as error:
        if not would_exit(error) or (isinstance(error, KeyboardInterrupt) and not interrupts):
            raise
        raise UnshakenError(describe_exit(error)) from error


def would_exit(error: BaseException) -> bool:
    """Whether an exception is of a class that ends a program: no `Exception`, or one of click's and typer's."""
    return not isinstance(error, Exception) or type(error).__module__.partition(".")[0] in ("click", "typer")


def is_raised_by_code(interrupt: KeyboardInterrupt) -> bool:
    """Whether a statement of the user's code raised it, and not Ctrl-C, which interrupts between two statements."""
    frames = list(traceback.walk_tb(interrupt.__traceback__))
    trace = interrupt.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not _is_foreign(frames[-1][0]):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISES


def describe_exit(error: BaseException) -> str:
    """One line about an exception that would have ended the process: where it was raised, and what to do."""
    message = "" if not str(error).strip() else first_line(error)
    return (
        f"{_origin(error)}: {type(error).__name__}({message}) would have ended this program without a result; code of "
        "a model, a data set or a plug-in must return or raise an error: remove the call that ends the process"
    )


def _origin(error: BaseException) -> str:
    """The innermost place of the user's files in a traceback; else of an installed package; else the innermost."""
    frames = list(traceback.walk_tb(error.__traceback__))
    others = [f for f in frames if not f[0].f_code.co_filename.startswith((*OWN, "<frozen"))]
    chosen = [f for f in others if _is_foreign(f[0])] or others or frames
    if not chosen:
        return "some code"
    frame, line = chosen[-1]
    return f"{frame.f_code.co_filename}, line {line}, in {frame.f_code.co_qualname}"


def _is_foreign(frame: FrameType) -> bool:
    """Whether a frame is of a file that belongs neither to this package nor to any that is installed."""
    return not frame.f_code.co_filename.startswith((*OWN, "<frozen", *INSTALLED))


@contextmanager
def _working_folder() -> Iterator[None]:
    """Let the user's modules in the working folder be imported, for as long as the user's code is being loaded."""
    folder = os.getcwd()
    if sys.flags.safe_path or folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _names_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place


def require_code(place: str, where: str) -> None:
    """Refuse a Python file that is not there; a module is looked for when it is imported.

    Args:
        place: file or module.
        where: the SPEC that names it, for the message.

    Raises:
        ModelError: there is no such file.
    """
    if _names_file(place) and not (_copies.get(place) or Path(place)).is_file():
        near = near_path(place)
        raise ModelError(f"{where}: no file {place!r}" + (f"; did you mean {near!r}?" if near else ""))


def _import(place: str, where: str) -> ModuleType:
    path = _copies.get(place) or Path(place)
    is_file = _names_file(place)
    require_code(place, where)
    try:
        return _from_file(path) if is_file else importlib.import_module(place)
    except ModuleNotFoundError as error:
        if not is_file and error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise ModelError(
                f"{where}: no module {place!r} on the Python path; for a file write its .py name"
            ) from None
        raise ModelError(f"{where}: importing it failed: {first_line(error)}") from error
    except Exception as error:
        raise ModelError(f"{where}: importing it raised {type(error).__name__}: {first_line(error)}") from error


def _from_file(path: Path) -> ModuleType:
    """Run a file as a module under a name of its own; pickles and dataclasses find it by that name."""
    name = f"unshaken_user_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not Python source")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module
