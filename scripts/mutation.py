"""Change one operator or number of the code at a time, and see whether a test falls.

    pip install cosmic-ray
    python scripts/mutation.py --count 200 --out mutation.jsonl core attack certify detect measure harden/engine
    python scripts/mutation.py --summary mutation.jsonl

Each draw takes a file with the probability of its lines, a place in it and an operator of cosmic-ray for this place;
annotations, decorators and docstrings are left out. The change is made in a copy of the tree. The file's own tests run
first (the test file of the same name, else those that import it), then the battery's tests of its method; what survives
these meets all tests of its room. A call goes on where the file of results ends.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

SKIPPED = {"RemoveDecorator", "VariableReplacer", "VariableInserter", "ExceptionReplacer"}
"""Operators whose mutants mostly do not run at all, or change a decorator that types alone need."""
KEYWORDS = {"slots", "frozen", "kw_only", "strict", "description"}
"""Arguments whose change no behaviour shows."""

Place = tuple[int, int]


def silent_places(tree: ast.AST) -> Iterator[tuple[Place, Place]]:
    """Ranges of annotations, decorators and arguments that no behaviour shows."""
    for node in ast.walk(tree):
        parts: list[Any] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            parts = [node.returns, *(a.annotation for a in every if a is not None), *node.decorator_list]
        elif isinstance(node, ast.ClassDef):
            parts = list(node.decorator_list)
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            parts = [node.value]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            parts = [node]
        for part in parts:
            if part is not None:
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)


@cache
def mutants(path: Path) -> dict[Place, list[Any]]:
    """Mutants of a file by the place that they change."""
    from cosmic_ray.commands.init import _all_work_items

    silent = list(silent_places(ast.parse(path.read_text(encoding="utf-8"))))
    found = defaultdict(list)
    for item in _all_work_items([path], {}):
        (mutation,) = item.mutations
        place = mutation.start_pos
        if mutation.operator_name.rpartition("/")[2] not in SKIPPED and not any(a <= place < b for a, b in silent):
            found[place].append(mutation)
    return dict(found)


def tests_of(path: Path) -> tuple[list[str], list[str]]:
    """The tests of a file, and those of its room."""
    inside = path.relative_to("src/unshaken")
    own = [str(p) for p in [Path("tests") / inside.parent / f"test_{path.stem.removeprefix('_')}.py"] if p.exists()]
    module = ".".join(("unshaken", *inside.with_suffix("").parts))
    if not own:
        own = [str(p) for p in sorted(Path("tests").rglob("test_*.py")) if f"{module} import" in p.read_text()][:4]
    return own, [f"tests/{inside.parts[0]}", "tests/battery"]


def falls(python: str, where: list[str], keyword: str | None, timeout: float) -> str:
    """`fell` where a test falls, `time` where the tests do not end; empty where all pass, and where there is none."""
    if not where:
        return ""
    command = [python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *where]
    command += ["-k", keyword] if keyword else []
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return "time"
    return "" if done.returncode in (0, 5) else "fell"


def judge(python: str, path: Path, mutation: Any, timeout: float) -> dict[str, Any]:
    """What became of a mutant: the tests that fell, and how; or `survived`."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator

    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    own, room = tests_of(path)
    stages = {
        "own": (own, None, timeout),
        "battery": (["tests/battery"], path.stem.removeprefix("_").replace("_", "-"), timeout),
        "room": (room, None, 10 * timeout),
    }
    with use_mutation(path, operator, mutation.occurrence) as (before, after):
        fate, how = next(
            ((stage, how) for stage, asked in stages.items() if (how := falls(python, *asked))), ("survived", "")
        )
    line = mutation.start_pos[0]
    old, new = (text.splitlines()[line - 1].strip() for text in (before, after))
    return {
        "file": str(path),
        "line": line,
        "operator": mutation.operator_name,
        "old": old,
        "new": new,
        "by": fate,
        "how": how,
    }


def draws(folders: list[str], seed: int) -> Iterator[tuple[Path, Any]]:
    """Files and mutants without end, the same for a seed."""
    rng = random.Random(seed)
    files = sorted(p for f in folders for p in Path("src/unshaken", f).rglob("*.py") if p.name != "__init__.py")
    weights = [len(p.read_text().splitlines()) for p in files]
    while True:
        path = rng.choices(files, weights)[0]
        places = mutants(path)
        if places:
            yield path, rng.choice(places[rng.choice(sorted(places))])


def summary(file: Path) -> None:
    """Print the share that fell, by folder, and the survivors."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    by: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        by["/".join(Path(row["file"]).parts[2:-1])]["survived" if row["by"] == "survived" else "fell"] += 1
    for folder, count in sorted(by.items()):
        print(f"{folder:32s} {count['fell']:4d} of {count.total():4d} fell")
    fell = sum(c["fell"] for c in by.values())
    late = sum(row.get("how") == "time" for row in rows)
    share = fell / max(1, len(rows))
    print(f"{'all':32s} {fell:4d} of {len(rows):4d} fell: {share:.1%}; {late} of them by the time limit")
    for row in rows:
        if row["by"] == "survived":
            print(f"  {row['file']}:{row['line']}: {row['old']}  ->  {row['new']}")


def main() -> None:
    """Draw, change, test, and note."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=[])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for a file's own tests")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the package's test tools")
    parser.add_argument("--out", type=Path, default=Path("mutation.jsonl"))
    parser.add_argument("--summary", type=Path)
    options = parser.parse_args()
    if options.summary:
        summary(options.summary)
        return
    out = options.out.resolve()
    done = len(out.read_text().splitlines()) if out.exists() else 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("src", "tests", "docs", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md"):
            copy = shutil.copytree if Path(name).is_dir() else shutil.copy
            copy(name, Path(folder, name))
        os.chdir(folder)
        os.environ["PYTHONPATH"] = f"{folder}/src"
        for number, (path, mutation) in enumerate(draws(options.folders, options.seed)):
            if number >= options.count:
                break
            if number >= done:
                row = judge(options.python, path, mutation, options.timeout)
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
