"""Checks a change in a minute and a half: style and types of the changed files, and the tests that they reach.

    python scripts/check.py [--base REF] [--seconds N] [--all] [--list]

A change is what differs from the commit at which it left `origin/main`, with files that are not committed or not yet
known to git. A file uses another if it imports it or has its address in its text, and a test also if it has, in quotes,
the name of a method that the other registers: so programs that tests start, and names that a package imports when they
are first used, are found as imports are. Tests are taken from the nearest on, until their seconds are spent.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
IMPORT = re.compile(r"\bfrom ((?:unshaken|unshaken_papers|tests|scripts)\b[\w.]*) import (\([^)]*\)|[^\n#]+)")
ADDRESS = re.compile(r"\b(?:unshaken|unshaken_papers|tests|scripts)(?:\.\w+)+")
TOP = re.compile(r"^(?:from|import) (?:[^(\n]*\([^)]*\)|.*)", re.MULTILINE)
TYPES = re.compile(r"^if TYPE_CHECKING:\n((?:    .*\n|\n)+)", re.MULTILINE)
LAZY = re.compile(r"^def __getattr__|\bopen_(?:room|package)\(", re.MULTILINE)
FOLDER = re.compile(r'import_module\(f"{__(?:name|package)__}\.|^@row\(', re.MULTILINE)
"""In a file that imports whatever lies in its folder."""
ENTRY = re.compile(r'^@(?:register|model_kind|image_property|task)\(\s*"([\w-]+)"', re.MULTILINE)
WORD = re.compile(r"""(?:["']|method: |- |--[\w-]+[ =])([a-z][\w-]*)(?=["':,+.\n]| -)""")
BATTERIES = ("tests/battery/", "tests/devices/", "tests/papers/test_battery.py", "tests/test_doctests.py")
"""Their cases bear the names of methods, methods, rows, and files with examples."""
EVERY_METHOD = re.compile(r'\blist_(?:methods|records)\((?:"(\w+)")?')
EVERY_ROW = re.compile(r'\b(?:row_folders|list_papers)\(|\bpapers (?:list|table)\b|"/papers"')
SCRIPT = re.compile(r"^import (\w+)$", re.MULTILINE)
READS = re.compile(r"glob\(|sources_of\(|\bos\.walk\(|^import (?:list|draw)_|\(ROOT / file\)", re.MULTILINE)
"""In a test that reads a tree as text; which, its other words say."""
TREES = {
    "src": ("PACKAGE", '"src"', "SOURCE", "import list_", "import draw_"),
    "tests": ('"tests"', "TESTS", "import times"),
}
READER = 3
"""The distance at which such a test is."""
CASES, SECONDS = "UNSHAKEN_CHECK_CASES", "UNSHAKEN_CHECK_SECONDS"
"""Variables that tell the processes of pytest which cases to run, and how long to begin tests."""
SLOW: dict[str, tuple[float, str]] = json.loads((ROOT / "tests" / "times.json").read_text(encoding="utf-8"))
A_FILE, A_TEST, A_BATTERY = 0.1, 0.06, 30.0
"""Seconds of a processor, by a run of the whole suite: to import a test file; a test; a battery with all its cases."""
WORKERS, OVERHEAD, ALONE = 2, 30.0, 15.0
"""Processes that run tests; seconds until they begin, and of the last one; seconds of tests that one process runs."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A file that a change reaches: how far it is, by which file, and its seconds if it is a test."""

    file: str
    distance: int
    via: str
    seconds: float = 0.0

    @property
    def is_test(self) -> bool:
        """Whether pytest finds tests in it."""
        return re.fullmatch(r"tests/(.*/)?test_\w+\.py", self.file) is not None


class Tree:
    """The files of the repository, and which of them use a file.

    Args:
        root: of the repository.
        files: its files relative to that, with those that a change removed.
    """

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        texts = (f for f in files if f.endswith((".py", ".pyi", ".jinja")))
        self.texts = {f: (root / f).read_text(encoding="utf-8") if (root / f).is_file() else "" for f in texts}
        self.python = [f for f in self.texts if f.endswith(".py")]
        self.modules = {_address(f): f for f in self.python if f.startswith(("src/", "tests/", "scripts/"))}
        self.exports = {_address(f): self._exports(f) for f in self.python if LAZY.search(self.texts[f])}
        self.methods = {n: f for f in self.python if f.startswith("src/") for n in ENTRY.findall(self.texts[f])}
        rows = (f for f in self.python if re.fullmatch(r"src/unshaken_papers/\w+/__init__.py", f))
        self.rows = {f.split("/")[2].replace("_", "-"): f for f in rows}
        self._basenames = Counter(PurePosixPath(f).name for f in files)
        self._users = defaultdict[str, set[str]](set)
        for file in self.python:
            for used in self._uses(file):
                self._users[used].add(file)

    def users(self, file: str) -> Iterator[str]:
        """The files that use a file: if it is no module of the package or the tests, those that name it."""
        path = PurePosixPath(file)
        yield from self._users[file]
        if file.startswith(("src/", "tests/")) and file.endswith(".py"):
            return
        if file.startswith("src/unshaken_papers/"):
            yield from (f for f in (f"{folder}/__init__.py" for folder in path.parents[:-3]) if f in self.texts)
        else:
            words = [path.name] if self._basenames[path.name] == 1 else [path.name, path.parent.name]
            words = words if path.suffix else [file]
            room, ending = "/".join(path.parts[:3]), "".join(path.suffixes) or path.name
            for other, text in self.texts.items():
                named = all(word in text and re.search(rf"(?<![\w-]){re.escape(word)}\b", text) for word in words)
                if named or (other.startswith(room) and ending in text):
                    yield other

    def _uses(self, file: str) -> Iterator[str]:
        text, path, is_test = self.texts[file], PurePosixPath(file), file.startswith("tests/")
        if _address(file) in self.exports:
            text = "\n".join(TOP.findall(text))
        elif not is_test:
            text = re.sub(r'"""[\s\S]*?"""', "", TYPES.sub("", text))
        for address in {*ADDRESS.findall(text), *(address for _, address in _imported(text))}:
            yield from self._resolve(address)
        yield from (self.modules[f"scripts.{n}"] for n in SCRIPT.findall(text) if f"scripts.{n}" in self.modules)
        for local, address in _imported(text):
            names = self.exports.get(address, {})
            for name in names and re.findall(rf"\b{local}\.(\w+)", text):
                yield from self._resolve(f"{address}.{name}") if name in names else ()
        if FOLDER.search(text):
            yield from (f for f in self.python if f.rpartition("/")[0] == str(path.parent))
        if file.startswith(("tests/", "src/unshaken_papers/")):
            words = {spelling for w in WORD.findall(text) for spelling in (w, w.replace("_", "-"), w.replace("-", "_"))}
            for named in (self.methods, self.rows):
                yield from (named[word] for word in words & named.keys())
            for room in EVERY_METHOD.findall(text):
                yield from (f for f in self.methods.values() if f.startswith(f"src/unshaken/{room}"))
            yield from self.rows.values() if EVERY_ROW.search(text) else ()
        shared = "conftest.py" if is_test else "__init__.py"
        yield from (f for f in (f"{above}/{shared}" for above in path.parents) if f in self.texts and f != file)

    def _exports(self, file: str) -> dict[str, str]:
        block = TYPES.search(self.texts[file])
        names = dict(_imported(self.texts.get(f"{file}i", block[1] if block else "")))
        # A package that is called, as `unshaken.attack(...)`, is a class in a stub, and its function has an underscore.
        return names | {name.removeprefix("_"): address for name, address in names.items()}

    def _resolve(self, address: str) -> Iterator[str]:
        """The file of the longest module in an address, and those of the names that packages in it export."""
        parts = address.split(".")
        heads = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
        yield from [self.modules[head] for head in heads if head in self.modules][:1]
        for head, name in zip(heads[1:], reversed(parts[1:]), strict=True):
            target = self.exports.get(head, {}).get(name, address)
            if target != address:
                yield from self._resolve(target)


def _address(file: str) -> str:
    return file.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(text: str) -> Iterator[tuple[str, str]]:
    """Each name that a text imports, as it is called there, and its address."""
    for module, names in IMPORT.findall(text):
        for name, alias in re.findall(r"(\w+)(?: as (\w+))?", names):
            yield alias or name, f"{module}.{name}"


def reach(tree: Tree, changed: set[str]) -> dict[str, Reached]:
    """Every file that a change reaches; a test of the same path as a changed file is as near as that."""
    found = dict[str, Reached]()
    queue = [(0 if Reached(file, 0, "").is_test else 1, file, "changed") for file in sorted(changed)]
    while queue:
        distance, file, via = heapq.heappop(queue)
        if file in found:
            continue
        found[file] = Reached(file, distance, via)
        own = re.sub(r"^src/unshaken/|^src/unshaken_(?=papers/)|\.py$|/__init__\.py$", "", file)
        step = 1 if file.endswith(".py") else 2
        for user in tree.users(file):
            mirrored = re.sub(r"^tests/|(?<=/)test_|\.py$", "", user)
            heapq.heappush(queue, (distance + (0 if mirrored in (own, own.rpartition("/")[0]) else step), user, file))
    for top in {file.partition("/")[0] for file in changed}:
        words = TREES.get(top, (f'"{top}"', top.upper()))
        for file in (f for f in tree.python if f.startswith("tests/") and READS.search(tree.texts[f])):
            near = found[file].distance if file in found else READER
            if near >= READER and any(word in tree.texts[file] for word in words):
                found[file] = Reached(file, READER, f"reads {top}")
    return found


def cases_of(tree: Tree, changed: set[str]) -> dict[str, tuple[list[str], float]]:
    """Tests of every method, row or example, with the names of those that changed and their share."""
    examples = {f.removeprefix("src/"): f for f in tree.python if ">>> " in tree.texts[f] and f.startswith("src/")}
    found = dict[str, tuple[list[str], float]]()
    for start, named in zip(BATTERIES, (tree.methods, tree.methods, tree.rows, examples), strict=True):
        if names := [name for name, file in named.items() if file in changed]:
            found[start] = names, len(names) / len(named)
    return found


@cache
def _first_test() -> float:
    return time.monotonic()


def pytest_runtest_setup() -> None:
    """As a plugin of pytest: begin no further test when the seconds are over, counted from the first one."""
    if time.monotonic() - _first_test() > float(os.environ[SECONDS]):
        pytest.skip("not begun: the seconds of the check were over")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """As a plugin of pytest: leave out the cases of other methods, rows and examples."""
    cases: dict[str, list[str]] = json.loads(os.environ[CASES])
    others = set[Any]()
    for item in items:
        names = cases.get(item.nodeid.partition("::")[0], [""])
        others |= set() if any(name in item.nodeid for name in names) else {item}
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]


def estimate(tree: Tree, file: str, share: float) -> float:
    """Seconds of one processor that a share of a test file's cases takes."""
    tests = len(re.findall(r"^(?:async )?def test_", tree.texts[file], re.MULTILINE))
    slow = sum(seconds for test, (seconds, _) in SLOW.items() if test.startswith(f"{file}::"))
    return A_FILE + (share * A_BATTERY if file.startswith(BATTERIES) else A_TEST * tests + slow)


def choose(tests: Iterable[Reached], seconds: float) -> list[Reached]:
    """The nearest tests that fit, the cheapest first among those equally near; changed ones are taken in any case."""
    chosen, spent = list[Reached](), 0.0
    for test in sorted(tests, key=lambda r: (r.distance, r.seconds, r.file)):
        if test.distance == 0 or spent + test.seconds <= seconds:
            chosen.append(test)
            spent += test.seconds
    return chosen


def changed_files(root: Path, base: str) -> set[str]:
    """The files of the change since it left a commit, removed ones included.

    Args:
        root: of the repository.
        base: the commit; empty for `origin/main`, or for the nearest of `main` and `HEAD~1` that differs.

    Raises:
        ValueError: git knows no such commit.
    """
    bases = [base or "origin/main"]
    if not _git(root, "rev-parse", "--verify", "--quiet", f"{bases[0]}^{{commit}}"):
        if base:
            raise ValueError(f"BASE={base} is no commit that git knows: give a branch, a tag or a hash")
        bases = ["main", "HEAD~1"]
    files = set[str]()
    for start in bases:
        fork = _git(root, "merge-base", start, "HEAD")
        files = {*_git(root, "diff", "--name-only", "--no-renames", *(fork or ["HEAD"]))}
        files |= {*_git(root, "ls-files", "--others", "--exclude-standard")}
        if files:
            break
    if bases[0] == "main":
        print(f"check: there is no origin/main here: the change is what differs from {start}")
    return files


def _git(root: Path, *arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True).stdout.splitlines()


def run(changed: list[str], tests: list[Reached], variables: dict[str, str]) -> int:
    """Run style and types of the changed files, and the tests; the first exit code that is not 0."""
    python, codes = [sys.executable, "-m"], list[int]()
    sources = [file for file in changed if file.endswith((".py", ".pyi"))]
    typed = any(file.startswith("src/") for file in sources)
    types = subprocess.Popen([*python, "mypy"], cwd=ROOT, stdout=subprocess.PIPE, text=True) if typed else None
    for style in (["check", "--quiet"], ["format", "--check", "--quiet"]) if sources else ():
        codes.append(subprocess.run([*python, "ruff", *style, "--force-exclude", *sources], cwd=ROOT).returncode)
    if tests:
        several = sum(test.seconds for test in tests) > ALONE
        workers = ["-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder"] if several else []
        command = [*python, "pytest", "-q", "-m", "not long", "-p", "scripts.check", *workers, *(t.file for t in tests)]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}).returncode
        codes.append(0 if code == 5 else code)  # 5: all tests of these files are marked long
    if types is not None:
        print(types.communicate()[0], end="")
        codes.append(types.returncode)
    return next((code for code in codes if code), 0)


def main() -> int:
    """Check the change; 0 where nothing is wrong with it."""
    parser = argparse.ArgumentParser(description="Check a change: style, types, and the tests that it reaches.")
    parser.add_argument("--base", default="", help="Commit from which the change is counted; default: origin/main.")
    parser.add_argument("--seconds", type=float, default=90.0, help="Seconds that the check may take on two cores.")
    parser.add_argument("--all", action="store_true", help="Run all tests that the change reaches, however many.")
    parser.add_argument("--list", action="store_true", help="Print the tests with their reasons, and run nothing.")
    options = parser.parse_args()
    try:
        changed = changed_files(ROOT, options.base)
    except ValueError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    tree = Tree(ROOT, {*_git(ROOT, "ls-files"), *changed})
    cases, tests, names = cases_of(tree, changed), list[Reached](), dict[str, list[str]]()
    for found in reach(tree, changed).values():
        if found.is_test and (ROOT / found.file).is_file():
            share = 1.0
            for start in (s for s in cases if found.file.startswith(s) and found.distance > 0):
                names[found.file], share = cases[start]
            tests.append(replace(found, seconds=estimate(tree, found.file, share)))
    seconds = float("inf") if options.all else max(options.seconds - OVERHEAD, 0.0)
    chosen = choose(tests, WORKERS * seconds)
    print(f"check: {len(changed)} files changed, {len(chosen)} test files of {len(tests)} that they reach")
    code = 0
    if options.list:
        print("\n".join(f"{t.distance:3} {t.seconds:6.1f} s  {t.file}  ({t.via})" for t in chosen))
    else:
        there = sorted(file for file in changed if (ROOT / file).is_file())
        code = run(there, chosen, {CASES: json.dumps(names), SECONDS: str(seconds)})
    if len(tests) > len(chosen):
        print(f"check: {len(tests) - len(chosen)} test files further away were not run: make test, or make check ALL=1")
    return code


if __name__ == "__main__":
    sys.exit(main())
