"""`bundle_code` and `use_bundle`: the user's own code, taken along to machines that do not have it.

A bundle is a folder that Ray's `runtime_env` carries to every node: `modules/` holds local packages and modules, and
stands first on the Python path of each worker; `files/` holds the `.py` files that SPECs name. It holds what the user
named, never a folder around it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

from unshaken.core.errors import RunError, RunWarning
from unshaken.core.imports import plugins
from unshaken.core.user_code import INSTALLED, OWN, use_copy

BUNDLE = "unshaken_code"
"""Name of a bundle's folder."""
FILES = "files.json"
"""In it: the files by their names in SPECs."""
LARGE = 10_000_000
"""Bytes of code above which a warning says how many there are."""
MOST = 500_000_000
"""Bytes of code that are taken along at most."""
GROUPS = ("unshaken.methods", "unshaken.models")
"""Entry points whose plug-ins are taken along where they are installed in place (`pip install -e`)."""


def bundle_code(specs: Iterable[str], folder: Path) -> Path | None:
    """Copy the code that SPECs and installed plug-ins name into a folder.

    Of a SPEC `py:FILE:FACTORY` that is the file, and modules and packages beside it that it has imported; of
    `py:MODULE:FACTORY` the module's whole package. What is installed in an ordinary way is not copied.

    Args:
        specs: of code, without options; it has been loaded.
        folder: for the bundle; exists.

    Returns:
        The bundle, or None where there is nothing to copy.

    Raises:
        RunError: it is larger than `MOST`.
    """
    files, modules, entry_points = dict[str, Path](), dict[str, Path](), dict[str, Distribution]()
    for place in (spec.partition(":")[2].rpartition(":")[0] for spec in specs if spec.startswith("py:")):
        if Path(place).is_file():
            files[place] = Path(place).resolve()
            modules |= _imported_from(files[place].parent)
        elif place:
            modules |= _local_module(place.partition(".")[0])
    for plugin in (plugin for group in GROUPS for plugin in plugins(group)):
        if (found := _local_module(plugin.module.partition(".")[0])) and plugin.dist is not None:
            modules |= found
            entry_points[plugin.dist.name] = plugin.dist
    if not files and not modules:
        return None
    _check_size([*files.values(), *modules.values()])
    bundle = folder / BUNDLE
    names = {place: f"files/{number}/{path.name}" for number, (place, path) in enumerate(files.items())}
    for place, path in files.items():
        (bundle / names[place]).parent.mkdir(parents=True)
        shutil.copyfile(path, bundle / names[place])
    for name, path in modules.items():
        root = path if path.is_dir() else path.parent
        for source in _files_of(path):
            target = bundle / "modules" / (name if path.is_dir() else "") / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for name, dist in entry_points.items():
        record = bundle / "modules" / f"{name.replace('-', '_')}-{dist.version}.dist-info"
        record.mkdir()
        for file in ("METADATA", "entry_points.txt"):
            (record / file).write_text(dist.read_text(file) or "", encoding="utf-8")
    (bundle / FILES).write_text(json.dumps(names), encoding="utf-8")
    return bundle


def use_bundle(folder: str) -> None:
    """Let this process find the code of its bundle, where Ray has brought one.

    A file that stands here where its SPEC says, with the same content, is used itself.

    Args:
        folder: that relative SPECs start from.
    """
    found = importlib.util.find_spec(BUNDLE)
    if found is None or not found.submodule_search_locations:
        return
    bundle = Path(next(iter(found.submodule_search_locations)))
    sys.path.insert(0, str(bundle / "modules"))
    for place, name in json.loads((bundle / FILES).read_text(encoding="utf-8")).items():
        here, copy = Path(folder, place), bundle / name
        if not (here.is_file() and here.read_bytes() == copy.read_bytes()):
            use_copy(place, copy)


def _local_module(name: str) -> dict[str, Path]:
    """A module that is neither installed nor built in, and its file or its package's folder; else nothing."""
    try:
        found = importlib.util.find_spec(name)
    except (ValueError, ImportError):  # such as __main__, which is pickled whole
        return {}
    if found is None or not (found.has_location or found.submodule_search_locations):
        return {}
    path = Path(next(iter(found.submodule_search_locations or (str(found.origin),)))).resolve()
    return {name: path} if _is_local(path) else {}


def _imported_from(folder: Path) -> dict[str, Path]:
    """Modules and packages directly in a folder that this process has imported."""
    found: dict[str, Path] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name and Path(file).stem in (name, "__init__"):
            path = Path(file).resolve()
            top = path.parent if path.stem == "__init__" else path
            if top.parent == folder and top.stem == name and _is_local(top):
                found[name] = top
    return found


def _is_local(path: Path) -> bool:
    """Whether a file or a package's folder belongs to no installed package, and not to this one."""
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not (installed or f"{path}{os.sep}".startswith((*OWN, *INSTALLED)))


def _files_of(path: Path) -> Iterator[Path]:
    """A file, or all files of a package but hidden and compiled ones."""
    if not path.is_dir():
        yield path
        return
    for folder, inside, names in os.walk(path):
        inside[:] = [name for name in inside if name != "__pycache__" and not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _check_size(paths: Iterable[Path]) -> None:
    sizes = {path: sum(file.stat().st_size for file in _files_of(path)) for path in paths}
    largest, total = max(sizes, key=sizes.__getitem__), sum(sizes.values())
    what = f"the code that workers need has {total / 1e6:,.0f} MB, {sizes[largest] / 1e6:,.0f} of them in {largest}"
    if total > MOST:
        raise RunError(f"{what}; at most {MOST / 1e6:,.0f} MB are taken along: keep data out of the package")
    if total > LARGE:
        warnings.warn(f"{what}; it is copied to every node", RunWarning, stacklevel=2)
