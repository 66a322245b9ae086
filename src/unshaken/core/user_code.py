"""The user's own code, run because a SPEC `py:FILE_OR_MODULE:FACTORY` names it; see `unshaken.core.consent`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from unshaken.core.errors import ModelError, UnshakenError, did_you_mean, near_path
from unshaken.core.texts import first_line


def call_factory(place: str, factory: str) -> tuple[Any, Path | None]:
    """Call a factory of a file (`net.py`) or a dotted module without arguments.

    Args:
        place: file or module; one of the working folder is found, too.
        factory: name of a callable in it.

    Returns:
        What it gives, and the file that it stands in, where there is one.

    Raises:
        ModelError: the module or the factory is absent, or raises.
    """
    where = f"py:{place}:{factory}"
    with _working_folder():
        module = _import(place, where)
        if not callable(getattr(module, factory, None)):
            names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
            raise ModelError(f"{where}: no callable {factory!r} in {place!r}; {did_you_mean(factory, names)}")
        try:
            made = getattr(module, factory)()
        except UnshakenError:
            raise
        except Exception as error:
            raise ModelError(f"{where}: the factory raised {type(error).__name__}: {first_line(error)}") from error
    source = getattr(module, "__file__", None)
    return made, Path(source) if source else None


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


def _import(place: str, where: str) -> ModuleType:
    path = Path(place)
    is_file = place.endswith(".py") or "/" in place
    if is_file and not path.is_file():
        near = near_path(place)
        raise ModelError(f"{where}: no file {place!r}" + (f"; did you mean {near!r}?" if near else ""))
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
