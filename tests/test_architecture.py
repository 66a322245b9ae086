"""The shape of the package, read from its sources: rooms in order, no circles, private modules, methods by name."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import run_program
from unshaken.core.registry import list_methods
from unshaken.core.sources import PACKAGE, module_of, sources_of

FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {module_of(path): path for path in FILES}
ROWS = PACKAGE.parent / "unshaken_papers"
DESIGN = Path(__file__).parents[1] / "docs" / "design.md"


class Source(NamedTuple):
    """What a file imports of the package, at its top, inside functions and by a name in a string, and its texts.

    Args:
        imports: but for those under `TYPE_CHECKING`.
        annotations: all of them.
        texts: its string constants.
    """

    imports: set[str]
    annotations: set[str]
    texts: set[str]


def read_source(path: Path) -> Source:
    tree, only_typed, names, typed, texts = ast.parse(path.read_text(encoding="utf-8")), set(), set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            only_typed |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{a.name}" for a in node.names}
            found = {name if name in MODULES else node.module for name in full}
            names, typed = (names, typed | found) if id(node) in only_typed else (names | found, typed)
        elif isinstance(node, ast.Call) and "import_module" in (getattr(node.func, k, "") for k in ("id", "attr")):
            names |= {a.value for a in node.args if isinstance(a, ast.Constant)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
    ours = {name for name in names if name.startswith("unshaken.")}
    return Source(ours, ours | {name for name in typed if name.startswith("unshaken.")}, texts)


@functools.cache
def read_sources() -> dict[str, Source]:
    """Each module's file, by the module's name; read once for all tests."""
    return {module: read_source(path) for module, path in MODULES.items()}


def test_a_room_imports_only_rooms_below_it():
    table = DESIGN.read_text(encoding="utf-8")
    floors = [re.findall(r"`(\w+)`", head) for head in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)]
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    wrong = []
    for module, (names, _, _) in read_sources().items():
        room = module.split(".")[1] if "." in module else ""
        above = {name for name in names if room in floor and floor.get(name.split(".")[1], 99) < floor[room]}
        wrong += [f"{module} imports {name}" for name in sorted(above)]
    assert wrong == []
    assert len(floor) == 21


IN_CIRCLES = {
    "unshaken.attack.engine": "an attack makes phases, and a phase runs an attack",
    "unshaken.papers": "a row is given its context, and a context knows its row",
}
"""Folders in which two types name each other, with the reason; nothing else there is imported in a circle."""


@pytest.mark.parametrize("types", [False, True], ids=["imports", "annotations"])
def test_no_import_goes_in_a_circle(types):
    every = {
        module: source.annotations if types and module.rpartition(".")[0] not in IN_CIRCLES else source.imports
        for module, source in read_sources().items()
    }
    left = {module: {n for n in names if n in MODULES and n != module} for module, names in every.items()}
    while free := {module for module, names in left.items() if not names & left.keys()}:
        left = {module: names for module, names in left.items() if module not in free}
    assert {module: names & left.keys() for module, names in left.items()} == {}


def test_no_text_names_a_private_module_of_another_folder():
    private = {module for module in MODULES if module.rpartition(".")[2].startswith("_")}
    wrong = []
    for module, source in read_sources().items():
        folder = module.rpartition(".")[0]
        wrong += [(module, text) for text in source.texts & private if text.rpartition(".")[0] != folder]
    assert wrong == []


def test_private_modules_are_imported_from_their_own_folder_alone():
    wrong = []
    for module, (names, _, _) in read_sources().items():
        folder = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
        for name in names & MODULES.keys():
            home, _, last = name.rpartition(".")
            if last.startswith("_") and not last.startswith("__") and home != folder:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("room", sorted({m.room for m in list_methods()}))
def test_a_file_bears_the_name_of_its_method(room):
    stems = {source.name: source.module.rpartition(".")[2] for source in sources_of(room)}
    assert stems == {name: name.replace("-", "_") for name in stems}
    ours = {m.name for m in list_methods(room) if m.cls.__module__.startswith("unshaken.")}
    assert stems.keys() == ours  # a name that is not written out in its decorator would not be found


def test_one_method_is_found_without_importing_its_siblings(tmp_path):
    program = (
        "import sys; from unshaken.core.registry import find_method; find_method('pgd', 'attack'); "
        "print(*sorted(m for m in sys.modules if m.startswith('unshaken.attack.') and m.count('.') > 2))"
    )
    methods = {source.module for source in sources_of("attack")}
    assert methods & set(run_program(program, tmp_path / "printed").split()) == {"unshaken.attack.gradient.pgd"}


@pytest.mark.parametrize(
    ("statement", "most"),
    [
        ("import unshaken", 7),
        ("from unshaken.stress import Fog", 25),
        ("from unshaken.attack import PGD", 45),
    ],
)
def test_a_method_imports_little(statement, most, tmp_path):
    ours = "{'unshaken', 'pyarrow', 'duckdb'}"
    program = f"import sys; {statement}; print(*(m for m in sys.modules if m.split('.')[0] in {ours}))"
    found = run_program(program, tmp_path / "printed").split()
    assert [m for m in found if not m.startswith("unshaken")] == []
    assert len(found) <= most


def test_no_folder_of_methods_is_without_a_sentence():
    for path in FILES:
        if path.name == "__init__.py":
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert doc, path
            importlib.import_module(module_of(path))


def test_papers_are_listed_without_torch():
    program = "import sys; from unshaken.papers import list_papers; print(len(list_papers()), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(list(ROWS.glob("*/claim.toml")))), "False"]


def test_rows_stand_beside_the_workbench_and_no_room_knows_of_them():
    imported = re.compile(r"^\s*(from|import) unshaken_papers\b", re.MULTILINE)
    assert [str(path) for path in FILES if imported.search(path.read_text(encoding="utf-8"))] == []
    rows = {path.name for path in ROWS.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert {path.parent.name for path in ROWS.glob("*/claim.toml")} == rows
    for row in sorted(rows):
        files = {path.name for path in (ROWS / row).iterdir() if path.is_file()}
        assert files >= {"claim.toml", "__init__.py", "experiment.py", "figures.py", "result.json", "README.md"}, row


def test_a_row_imports_no_other_row():
    wrong = []
    for path in ROWS.glob("*/*.py"):
        names = re.findall(
            r"^\s*(?:from|import) unshaken_papers\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        wrong += [f"{path} imports {name}" for name in names if name != path.parent.name]
    assert wrong == []
