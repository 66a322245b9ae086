"""Methods found in the source files of a room, without importing any: for lazy imports, completion and lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_ORDER = ("stress", "attack", "certify", "detect", "harden", "explain", "labels", "generate", "inspect", "tasks")
_TITLE = re.compile(r'\btitle="([^"]+)"')
_NETWORK = re.compile(r"^@register_model\b.*\n(?:^[@ )].*\n)*?^def (\w+)", re.MULTILINE)
_PUBLIC = re.compile(r"^@public\(([^)]*)\)\n(?:(?!def |class ).*\n)*?def (\w+)", re.MULTILINE)
_ENTRY = re.compile(r'^@(\w+)\(\s*"([^"]+)"(?:(?!^@|^class |^def ).*\n)*?(?:^@.*\n)*^(?:class|def) (\w+)', re.MULTILINE)


def find_rooms() -> tuple[str, ...]:
    """The rooms that hold methods, in the order of lists: those planned, then every other package that is a room."""
    packages = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    opened = [p.name for p in packages if "open_room(" in (p / "__init__.py").read_text(encoding="utf-8")]
    return (*_ORDER, *(name for name in opened if name not in _ORDER))


ROOMS = find_rooms()


@dataclass(frozen=True, slots=True)
class Source:
    """A registered class or function, read from source text.

    Args:
        name: the name that the decorator enters.
        symbol: the class or function.
        module: where it stands.
        title: the decorator's; empty where it gives none.
    """

    name: str
    symbol: str
    module: str
    title: str = ""


@cache
def sources_of(room: str, decorator: str = "register") -> tuple[Source, ...]:
    """List what a decorator registers in the files of a room, at any depth.

    >>> [(s.symbol, s.module) for s in sources_of("attack") if s.name == "pgd"]
    [('PGD', 'unshaken.attack.gradient.pgd')]
    """
    found = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for entry in _ENTRY.finditer(path.read_text(encoding="utf-8")):
            mark, name, symbol = entry.groups()
            if mark == decorator:
                title = _TITLE.search(entry[0])
                found.append(Source(name, symbol, module_of(path), title[1] if title else ""))
    return tuple(found)


@cache
def public_functions() -> dict[str, Source]:
    """Address below `unshaken` to the function of `unshaken.api` that the decorator `public` puts there.

    >>> public_functions()["labels.find_labels"].symbol
    'find_labels'
    """
    found = dict[str, Source]()
    for path in sorted((PACKAGE / "api").glob("*.py")):
        for addresses, symbol in _PUBLIC.findall(path.read_text(encoding="utf-8")):
            source = Source(symbol, symbol, module_of(path))
            found |= dict.fromkeys((f"api.{symbol}", *re.findall(r'"([^"]+)"', addresses)), source)
    return found


def keys_of(file: str, variable: str) -> list[str]:
    """The keys of a dictionary that a file writes out, such as the kinds of data, without importing the file.

    Args:
        file: relative to the package.
        variable: the dictionary's name at the top level of the file.

    >>> keys_of("data/load.py", "SOURCES")[:1]
    ['folder']
    """
    for node in ast.parse((PACKAGE / file).read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.value, ast.Dict)
            and ast.unparse(node.target) == variable
        ):
            return [str(ast.literal_eval(key)) for key in node.value.keys if key is not None]
    raise LookupError(f"{file} writes out no dictionary {variable}")


@cache
def networks_of(package: str, folder: str = "models") -> tuple[str, ...]:
    """Names of the networks that an installed package registers, read from the text of its files; empty where absent.

    Args:
        package: `torchvision` or `timm`, whose functions that build networks bear a decorator `register_model`.
        folder: below the package; the files in it are read, those of folders in it are not.
    """
    found = find_spec(package)
    names = set[str]()
    for place in (found and found.submodule_search_locations) or ():
        for path in Path(place, folder).glob("*.py"):
            names |= set(_NETWORK.findall(path.read_text(encoding="utf-8")))
    return tuple(sorted(names))


def modules_named(room: str, name: str) -> Iterator[str]:
    """The modules of a room that bear a method's name: `n-fgsm` is `n_fgsm.py`, or a package of that name."""
    stem, folder = re.sub(r"[^0-9a-z]", "_", name.lower()), PACKAGE / room
    for pattern in (f"{stem}.py", f"{stem}/__init__.py") if stem else ():
        yield from (module_of(path) for path in sorted(folder.rglob(pattern)))


def module_of(path: Path) -> str:
    """The dotted name of a file of this package."""
    parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
